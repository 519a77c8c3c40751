"""rtp/picture_size.py: the size that a frame announces is the one its decoder would find."""

from fractions import Fraction

import av
import pytest
from av import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_server.rtp.picture_size import PictureSize, picture_sizes, sps_size

SIDE = st.integers(8, 160).map(lambda side: side * 2)


def encoded(codec: str, width_px: int, height_px: int, pix_fmt: str = "yuv420p") -> bytes:
    """One key frame of a real encoder."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width_px, height_px, pix_fmt
    context.time_base = Fraction(1, 30)
    if codec == "libx264":
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1"}
    frame = VideoFrame(width_px, height_px, pix_fmt)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    packets = [*context.encode(frame), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


@settings(max_examples=20, deadline=None)
@given(SIDE, SIDE)
def test_the_size_is_the_encoders(width_px: int, height_px: int) -> None:
    """of H.264 with cropping, and of VP8."""
    for codec, name in (("libx264", "H264"), ("libvpx", "VP8")):
        (size,) = picture_sizes(name, encoded(codec, width_px, height_px))
        assert (size.width_px, size.height_px) == (width_px, height_px)
        assert 0 <= size.coded_width_px - width_px < 16
        assert 0 <= size.coded_height_px - height_px < 16
        assert size.reference_frames > 0


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuv420p10le", "gray"])
def test_the_size_is_right_for_every_chroma_format(pix_fmt: str) -> None:
    """cropping counts in the units of its samples."""
    (size,) = picture_sizes("H264", encoded("libx264", 50, 38, pix_fmt))
    assert (size.width_px, size.height_px) == (50, 38)


class Writer:
    """Writes the bits of a parameter set."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, number: int, count: int) -> "Writer":
        self.bits += f"{number:0{count}b}"
        return self

    def ue(self, *numbers: int) -> "Writer":
        for number in numbers:
            code = f"{number + 1:b}"
            self.bits += "0" * (len(code) - 1) + code
        return self

    def payload(self) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")


@given(
    width_mbs=st.integers(1, 1 << 20),
    height_units=st.integers(1, 1 << 20),
    references=st.integers(0, 16),
    progressive=st.booleans(),
    crop=st.none() | st.tuples(*[st.integers(0, 1 << 24)] * 4),
    order=st.integers(0, 2),
    offsets=st.lists(st.integers(0, 1 << 20), max_size=255),
    chroma=st.none() | st.integers(0, 3),
    cut=st.none() | st.integers(0, 40),
)
def test_every_parameter_set_is_read_by_the_rules(
    width_mbs: int,
    height_units: int,
    references: int,
    progressive: bool,
    crop: tuple[int, ...] | None,
    order: int,
    offsets: list[int],
    chroma: int | None,
    cut: int | None,
) -> None:
    """any size, order of pictures and cropping; one that is cut off has no size."""
    bits = Writer().u(66 if chroma is None else 244, 8).u(0, 16).ue(0)
    if chroma is not None:
        bits.ue(chroma)
        if chroma == 3:
            bits.u(0, 1)
        bits.ue(0, 0).u(0, 2)
    bits.ue(0, order)
    if order == 0:
        bits.ue(4)
    elif order == 1:
        bits.u(0, 1).ue(1, 2, len(offsets), *offsets)
    bits.ue(references).u(0, 1).ue(width_mbs - 1, height_units - 1).u(progressive, 1)
    if not progressive:
        bits.u(0, 1)
    bits.u(0, 1)
    bits.u(crop is not None, 1).ue(*(crop or ()))
    payload = bits.payload()
    if cut is not None and cut < len(payload) - 1:
        assert sps_size(payload[:cut]) is None
        return
    size = sps_size(payload)
    assert size is not None
    fields = 1 if progressive else 2
    unit_x = {None: 2, 0: 1, 1: 2, 2: 2, 3: 1}[chroma]
    unit_y = {None: 2, 0: 1, 1: 2, 2: 1, 3: 1}[chroma] * fields
    left, right, top, bottom = crop or (0, 0, 0, 0)
    assert size == PictureSize(
        width_px=max(0, width_mbs * 16 - unit_x * (left + right)),
        height_px=max(0, height_units * 16 * fields - unit_y * (top + bottom)),
        coded_width_px=width_mbs * 16,
        coded_height_px=height_units * 16 * fields,
        reference_frames=references,
    )


@given(st.sampled_from(("H264", "VP8", "other")), st.binary(max_size=200))
def test_any_bytes_are_read(codec: str, frame: bytes) -> None:
    """garbage has no size, or one; nothing is raised."""
    assert all(size.coded_width_px >= 0 for size in picture_sizes(codec, frame))
    assert all(size.coded_width_px > 0 for size in picture_sizes(codec, b"\0\0\1\x67" + frame * 40))


def test_frames_that_announce_nothing() -> None:
    """a VP8 frame that is no key frame, an H.264 slice, an empty one."""
    assert not list(picture_sizes("VP8", b"\x01" + encoded("libvpx", 32, 32)[1:]))
    assert not list(picture_sizes("H264", b"\0\0\0\1\x41\x9a" + bytes(40)))
    assert not list(picture_sizes("H264", b""))
