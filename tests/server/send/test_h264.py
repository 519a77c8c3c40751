"""The encoder: one packet a frame, rates changed in place, key frames only on request."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray
from slipstream_server.rtp.depacketize import payload_content
from slipstream_server.send.h264 import (
    NVENC,
    X264,
    H264Codec,
    H264Encoder,
    can_encode,
    choose_codec,
)

from tests.server.calls import number_of, numbered

FPS = 24
WIDTH_PX, HEIGHT_PX = 416, 240
CEILING_BPS = 2_000_000


class MovingPicture:
    """Moving noise on a gradient, so that every frame costs bits; numbered as they go."""

    def __init__(self, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> None:
        self._dice = np.random.default_rng(0)
        blocks = self._dice.integers(40, 200, (height_px // 8, width_px // 8), np.uint8)
        self._still: NDArray[np.uint8] = np.kron(blocks, np.ones((8, 8), np.uint8))
        self.frames = 0

    def next(self, *, fps: int = FPS) -> VideoFrame:
        height_px, width_px = self._still.shape
        picture = np.full((height_px * 3 // 2, width_px), 128, np.uint8)
        noise = self._dice.integers(0, 24, self._still.shape, np.uint8)
        picture[:height_px] = np.roll(self._still, 3 * self.frames, axis=1) + noise
        frame = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = self.frames * 90_000 // fps
        frame.time_base = Fraction(1, 90_000)
        self.frames += 1
        return frame


def kbps(
    encoder: H264Encoder,
    picture_source: MovingPicture,
    *,
    bitrate_bps: int,
    frames: int = 96,
    fps: int = FPS,
) -> tuple[float, int]:
    """Encode some frames: the bitrate that came out, and how many key frames."""
    size_bytes = keys = 0
    for _ in range(frames):
        encoded = encoder.encode(picture_source.next(), bitrate_bps=bitrate_bps, fps=fps)
        size_bytes += encoded.packet.size
        keys += encoded.is_key
    return size_bytes * 8 * fps / frames / 1000, keys


def test_the_colours_are_declared() -> None:
    """matrix, range, transfer and primaries, as the engine makes its pictures."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    decoder: Any = av.CodecContext.create("h264", "r")
    packet = encoder.encode(MovingPicture().next(), bitrate_bps=CEILING_BPS, fps=FPS).packet
    (frame,) = decoder.decode(packet) + decoder.decode(None)
    declared = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
    assert [int(value) for value in declared] == [6, 6, 6, 1]


def test_every_frame_comes_out_at_once_and_whole() -> None:
    """no delay, the time kept, and any decoder reads the numbers back."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    decoder = av.CodecContext.create("h264", "r")
    for number in range(12):
        frame = numbered(number, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        frame.pts = number * 3750
        frame.time_base = Fraction(1, 90_000)
        packet = encoder.encode(frame, bitrate_bps=CEILING_BPS, fps=FPS).packet
        assert (packet.pts, packet.time_base) == (number * 3750, Fraction(1, 90_000))
        (decoded,) = decoder.decode(packet)
        assert number_of(decoded) == number


def test_the_stream_keeps_what_the_answer_promises() -> None:
    """constrained baseline, level 3.1: profile-level-id 42e01f, of which 42c01f is a case."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    stream = bytes(encoder.encode(MovingPicture().next(), bitrate_bps=CEILING_BPS, fps=FPS).packet)
    sps = stream.index(b"\x00\x00\x01\x67") + 3
    profile, constraints, level = stream[sps + 1 : sps + 4]
    assert profile == 0x42
    assert constraints & 0xC0 == 0xC0
    assert level == 0x1F


def test_a_key_frame_brings_its_headers() -> None:
    """a viewer that joins needs the parameter sets again, not only the picture."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    picture_source = MovingPicture()
    kbps(encoder, picture_source, bitrate_bps=CEILING_BPS, frames=5)
    encoded = encoder.encode(
        picture_source.next(), bitrate_bps=CEILING_BPS, fps=FPS, force_key=True
    )
    assert encoded.is_key
    units = [unit for unit in bytes(encoded.packet).split(b"\x00\x00\x01") if unit.strip(b"\x00")]
    assert payload_content("H264", units[0]).starts_frame
    assert {unit[0] & 0x1F for unit in units} >= {5, 7, 8}
    assert len(av.CodecContext.create("h264", "r").decode(encoded.packet)) == 1


def test_the_bitrate_changes_in_place() -> None:
    """down and up again within 15 %, without a key frame and without a new encoder."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    picture_source = MovingPicture()
    kbps(encoder, picture_source, bitrate_bps=CEILING_BPS)
    for bitrate_bps in (500_000, 1_500_000, 800_000, CEILING_BPS):
        kbps(encoder, picture_source, bitrate_bps=bitrate_bps, frames=24)  # settle
        out_kbps, keys = kbps(encoder, picture_source, bitrate_bps=bitrate_bps)
        assert keys == 0
        assert out_kbps == pytest.approx(bitrate_bps / 1000, rel=0.15)
    assert encoder.opened == 1


def test_the_bitrate_holds_at_any_frame_rate() -> None:
    """a model that makes half the frames gets twice the bits for each."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    picture_source = MovingPicture()
    for fps in (24, 12, 30):
        kbps(encoder, picture_source, bitrate_bps=800_000, frames=24, fps=fps)
        out_kbps, keys = kbps(encoder, picture_source, bitrate_bps=800_000, fps=fps)
        assert keys == 0 or fps == 24
        assert out_kbps == pytest.approx(800, rel=0.15)


def test_a_cut_is_no_key_frame() -> None:
    """a new scene costs what it costs, but nothing is sent again."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    kbps(encoder, MovingPicture(), bitrate_bps=CEILING_BPS, frames=30)
    dark = numbered(0, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    dark.pts, dark.time_base = 10 * 90_000, Fraction(1, 90_000)
    assert not encoder.encode(dark, bitrate_bps=CEILING_BPS, fps=FPS).is_key


def test_a_key_frame_at_a_low_rate_is_small() -> None:
    """requested after the rate fell, it fits half a second of the link instead of three."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    picture_source = MovingPicture()
    kbps(encoder, picture_source, bitrate_bps=CEILING_BPS)
    kbps(encoder, picture_source, bitrate_bps=250_000, frames=48)
    encoded = encoder.encode(picture_source.next(), bitrate_bps=250_000, fps=FPS, force_key=True)
    assert encoded.packet.size * 8 < 125_000
    assert encoder.opened == 2


def test_a_new_size_opens_a_new_encoder() -> None:
    """with a key frame, as the viewer's decoder needs."""
    encoder = H264Encoder(X264, ceiling_bps=CEILING_BPS)
    kbps(encoder, MovingPicture(), bitrate_bps=CEILING_BPS, frames=3)
    frame = MovingPicture(width_px=640, height_px=360).next()
    frame.pts = 90_000
    assert encoder.encode(frame, bitrate_bps=CEILING_BPS, fps=FPS).is_key


def test_the_card_is_used_only_where_a_frame_proves_it() -> None:
    """being listed by FFmpeg is no proof."""
    assert choose_codec(lambda codec: True) is NVENC
    assert choose_codec(lambda codec: False) is X264
    assert can_encode(X264)
    assert not can_encode(H264Codec(name="no such codec"))


def test_a_ceiling_of_nothing_is_refused() -> None:
    """the message says what is wrong."""
    with pytest.raises(ValueError, match="ceiling_bps is 0, it must be above 0"):
        H264Encoder(X264, ceiling_bps=0)
