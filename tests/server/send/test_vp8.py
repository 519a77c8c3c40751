"""VP8 for viewers without H.264: readable, at the requested bitrate, with key frames on request."""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from slipstream_server.send.encoder_context import TIME_BASE
from slipstream_server.send.vp8 import Vp8Encoder

from tests.server.calls import number_of, numbered

FPS = 30


def pictures(count: int, *, width_px: int = 640, height_px: int = 480) -> Iterator[VideoFrame]:
    """Numbered, with noise that costs bits."""
    noise = np.random.default_rng(1)
    for number in range(count):
        picture = numbered(number, width_px=width_px, height_px=height_px).to_ndarray()
        lower = picture[height_px // 2 : height_px]
        lower[:] = noise.integers(96, 160, lower.shape, np.uint8)
        frame = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * 90_000 // FPS, TIME_BASE
        yield frame


def decoded(packets: "list[av.Packet[Any]]") -> list[VideoFrame]:
    decoder: Any = av.CodecContext.create("libvpx", "r")
    return [frame for packet in packets for frame in decoder.decode(packet)]


def test_pictures_come_out_as_they_went_in() -> None:
    """one packet a frame, with its time; only the first and the requested ones are key frames."""
    encoder = Vp8Encoder()
    done = [
        encoder.encode(frame, bitrate_bps=1_500_000, fps=FPS, force_key=number == 12)
        for number, frame in enumerate(pictures(20))
    ]
    assert [number for number, one in enumerate(done) if one.is_key] == [0, 12]
    assert [one.packet.pts for one in done] == [number * 3000 for number in range(20)]
    assert [number_of(frame) for frame in decoded([one.packet for one in done])] == list(range(20))
    assert encoder.opened == 1


def test_the_colours_are_declared() -> None:
    """the first bit of a key frame's first partition says BT.601 (RFC 6386, section 9.2)."""
    (frame,) = pictures(1)
    key_frame = bytes(Vp8Encoder().encode(frame, bitrate_bps=1_500_000, fps=FPS).packet)
    assert key_frame[10] < 0x80


@pytest.mark.parametrize("fps", [30, 15])
def test_the_bitrate_is_kept(fps: int) -> None:
    """also at half the frame rate; a small step is left alone, a large one opens it anew."""
    encoder = Vp8Encoder()
    frames = list(pictures(90, width_px=320, height_px=240))
    rates = []
    for bitrate_bps in (600_000, 660_000, 300_000):
        sizes = [
            encoder.encode(frame, bitrate_bps=bitrate_bps, fps=fps).packet.size for frame in frames
        ]
        rates.append(sum(sizes[30:]) * 8 * fps / 60)
    assert encoder.opened == 2
    assert 0.5 * 300_000 < rates[2] < 1.5 * 300_000
    assert 0.5 * 600_000 < rates[0] < 1.5 * 600_000


def test_another_size_opens_it_anew() -> None:
    """with a key frame."""
    encoder = Vp8Encoder()
    for width_px, height_px in ((320, 240), (160, 120)):
        (frame,) = pictures(1, width_px=width_px, height_px=height_px)
        assert encoder.encode(frame, bitrate_bps=500_000, fps=FPS).is_key
    assert encoder.opened == 2
