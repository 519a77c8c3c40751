"""A few bytes that announce a huge picture are never given to a decoder."""

import asyncio
import itertools
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from av import Packet
from slipstream_server.receive.aiortc_receiver import DecoderQueue
from slipstream_server.receive.decoder import BoundedDecoder, DecoderTask

from tests.server.calls import Camera, dial
from tests.server.rtp.test_picture_size import Writer, encoded
from tests.server.serving import poll, serving
from tests.server.sessions.test_garbage import end_reason


def huge_vp8() -> bytes:
    """A key frame of 32x32 that says it is 16383x16383."""
    frame = bytearray(encoded("libvpx", 32, 32))
    frame[6:10] = b"\xff\x3f\xff\x3f"
    return bytes(frame)


def h264(width_mbs: int, height_mbs: int, references: int) -> bytes:
    """A parameter set, behind it the slice of a small picture."""
    bits = Writer().u(66, 8).u(0xC0, 8).u(0x3C, 8).ue(0, 0, 2, references).u(0, 1)
    bits.ue(width_mbs - 1, height_mbs - 1).u(0b1100, 4)
    payload = bits.payload().replace(b"\0\0", b"\0\0\3")
    small = encoded("libx264", 32, 32)
    picture = small[small.index(b"\0\0\1\x68") :]
    return b"\0\0\0\1\x67" + payload + b"\0" + picture


class EncodedPictures(Camera):
    """A track that sends the same encoded frame again and again."""

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self._frame = frame
        self._sent = 0

    async def recv(self) -> Any:  # an encoded frame, which aiortc sends as it is
        await asyncio.sleep(1 / 30)
        packet = Packet(self._frame)
        packet.pts, packet.time_base = self._sent * 3000, Fraction(1, 90_000)
        self._sent += 1
        return packet


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The frames that are given to a decoder."""
    frames: list[bytes] = []
    offer = DecoderQueue.offer

    def counted(self: DecoderQueue, task: Any) -> bool:
        frames.append(task.data)
        return offer(self, task)

    monkeypatch.setattr(DecoderQueue, "offer", counted)
    return frames


class Alternating(EncodedPictures):
    """Sends one frame, then another, and so on."""

    def __init__(self, *frames: bytes) -> None:
        super().__init__(frames[0])
        self._frames = itertools.cycle(frames)

    async def recv(self) -> Any:
        self._frame = next(self._frames)
        return await super().recv()


@pytest.mark.parametrize(
    ("codec", "frame", "reason"),
    [
        ("VP8", huge_vp8(), "the camera's picture is 16383x16383, it must have up to 9437184"),
        ("H264", h264(1024, 1024, 1), "the camera's picture is 16384x16384, it must have up to"),
        ("H264", h264(256, 144, 16), "refer to 16 others, at this size the most is 5"),
    ],
)
async def test_a_huge_picture_ends_its_call_before_it_is_decoded(
    codec: str, frame: bytes, reason: str, tmp_path: Path, decoded: list[bytes]
) -> None:
    """with the reason; the decoder's queue stays empty, and another call goes on."""
    assert len(frame) < 5000
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera()) as good,
        dial(server.client, camera=EncodedPictures(frame), codec=codec) as bad,
    ):
        assert reason in await end_reason(server, bad)
        assert frame not in decoded
        await good.until_more_frames(8)


async def test_a_picture_of_unknown_size_is_not_decoded(
    tmp_path: Path, decoded: list[bytes]
) -> None:
    """four parameter sets that are fine and a huge one, in one frame: it is left out, others of the
    same call are not."""
    small = h264(2, 2, 1)
    sets = small[: small.index(b"\0\0\1\x68")]
    hidden = sets * 4 + h264(1024, 1024, 1)
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Alternating(hidden, small), codec="H264"),
    ):
        await poll(lambda: len(decoded) > 3)
    assert all(b"\x67" in data for data in decoded)
    assert not any(hidden[-200:] in data and len(data) >= len(hidden) for data in decoded)


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_a_decoder_has_few_threads(codec: str) -> None:
    """whatever the machine has: each call has a decoder of its own."""
    before = threads()
    decoder = BoundedDecoder()
    encoded_frame = encoded({"H264": "libx264", "VP8": "libvpx"}[codec], 1280, 720)
    assert threads() == before, "the encoder has given its threads back"
    decoder.decode(DecoderTask(codec=codec, data=encoded_frame, pts=0))
    assert threads() - before <= 2


def threads() -> int:
    """Of this process, those of libraries too."""
    return len(os.listdir("/proc/self/task"))
