"""What an SCTP datagram counts for: what a page sends for what it is, what makes work for more."""

import pytest
from aiortc.rtcsctptransport import (
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    HeartbeatChunk,
    SackChunk,
    serialize_packet,
)
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.rtc.sctp_costs import (
    CHUNK_MIN_BYTES,
    PLACE_BYTES,
    RARE_FACTOR,
    cost_bytes,
)

HEADER_BYTES = 12


def data(size_bytes: int) -> DataChunk:
    chunk = DataChunk()
    chunk.tsn = chunk.stream_id = chunk.stream_seq = chunk.protocol = 1
    chunk.user_data = b"x" * size_bytes
    return chunk


def sack(*gaps: tuple[int, int]) -> SackChunk:
    chunk = SackChunk()
    chunk.gaps = list(gaps)
    return chunk


def packet(*chunks: Chunk) -> bytes:
    """Several chunks behind one header."""
    packets = [serialize_packet(5000, 5000, 1, chunk) for chunk in chunks]
    return packets[0] + b"".join(one[HEADER_BYTES:] for one in packets[1:])


def test_a_large_message_counts_for_its_bytes() -> None:
    """header, padding and all."""
    datagram = packet(data(1101))
    assert cost_bytes(datagram) == len(datagram)


def test_many_small_ones_count_for_what_they_make_to_do() -> None:
    """each for so many bytes at least."""
    assert cost_bytes(packet(*[data(1)] * 50)) >= 50 * CHUNK_MIN_BYTES


def test_a_sack_counts_for_the_places_it_names() -> None:
    """those that overlap each time, as they are gone through; without any, for a small chunk."""
    assert cost_bytes(packet(sack())) == HEADER_BYTES + CHUNK_MIN_BYTES
    few, many = (
        cost_bytes(packet(sack((2, 3)))),
        cost_bytes(packet(sack((2, 3), *[(1, 65535)] * 200))),
    )
    assert few < 2 * CHUNK_MIN_BYTES
    assert many - few >= 200 * 65535 * PLACE_BYTES
    assert cost_bytes(packet(sack((9, 3)))) < 2 * CHUNK_MIN_BYTES


def test_what_is_rare_counts_for_more() -> None:
    """a list of streams that are skipped is gone through, a heartbeat is answered."""
    chunk = ForwardTsnChunk()
    chunk.streams = [(k, 1) for k in range(200)]
    assert cost_bytes(packet(chunk)) >= 200 * 4 * RARE_FACTOR
    assert cost_bytes(packet(HeartbeatChunk())) >= CHUNK_MIN_BYTES


@given(datagram=st.binary(max_size=200), head=st.sampled_from((b"", packet(sack((1, 9))), b"\3\0")))
def test_whatever_comes_counts_for_its_bytes_at_least(datagram: bytes, head: bytes) -> None:
    """broken or not."""
    assert cost_bytes(head + datagram) >= len(head + datagram)


@pytest.mark.parametrize("cut_bytes", range(1, 24))
def test_a_sack_that_ends_early_is_read_so_far(cut_bytes: int) -> None:
    """its blocks that are there count."""
    whole = packet(sack((1, 1000), (1, 1000)))
    assert cost_bytes(whole[:-cut_bytes]) <= cost_bytes(whole)
