"""A caller whose SCTP makes work is cut off: whoever may watch has a data channel.

All are small datagrams, within the bytes that a caller may send; aiortc alone would go through
millions of places, or through all that waits once more for each chunk.
"""

from pathlib import Path
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_UNORDERED,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    SackChunk,
)

from tests.server.calls import Camera, dial
from tests.server.serving import poll, serving


def far_sack(sctp: Any) -> list[Chunk]:
    """Acknowledges twenty million chunks that were never sent."""
    chunk = SackChunk()
    chunk.cumulative_tsn = sctp._last_received_tsn
    chunk.advertised_rwnd = 1 << 20
    chunk.gaps = [(1, 65535)] * 280
    return [chunk]


def gapped_data(sctp: Any) -> list[Chunk]:
    """Every second chunk of one byte, none of which can be put together."""
    return [data(sctp._local_tsn + 2 * k, SCTP_DATA_FIRST_FRAG) for k in range(1, 2000)]


def endless_data(sctp: Any) -> list[Chunk]:
    """All chunks of one byte, of messages without a beginning."""
    return [data(sctp._local_tsn + k, SCTP_DATA_UNORDERED) for k in range(2000)]


def data(tsn: int, flags: int) -> DataChunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = tsn % (1 << 32), 1, 1, 51
    chunk.user_data = b"x"
    return chunk


def many_streams(sctp: Any) -> list[Chunk]:
    """Skips a message of each stream that there could be."""
    chunks: list[Chunk] = []
    for part in range(40):
        chunk = ForwardTsnChunk()
        chunk.cumulative_tsn = (sctp._local_tsn + part) % (1 << 32)
        chunk.streams = [(part * 250 + k, 1) for k in range(250)]
        chunks.append(chunk)
    return chunks


@pytest.mark.parametrize("attack", [far_sack, gapped_data, endless_data, many_streams])
async def test_a_caller_whose_chunks_make_work_is_cut_off(tmp_path: Path, attack: Any) -> None:
    """and another caller's frames keep coming."""
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera()) as good,
        dial(server.client, camera=Camera()) as bad,
    ):
        await good.until_frames(2)
        await bad.until_event("state")
        sctp: Any = bad.pc.sctp
        for chunk in attack(sctp):
            try:
                await sctp._send_chunk(chunk)
            except ConnectionError:
                break  # cut off
        await poll(lambda: not server.sessions.is_live(bad.id))
        await good.until_frames(len(good.frames) + 8)
