"""rtp/picture_size.py: the size that a frame announces is the one its decoder would find."""

import contextlib
import sys
from fractions import Fraction

import av
import pytest
from av import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_server.rtp.picture_size import (
    SPS_MAX,
    PictureSize,
    UnreadableSize,
    picture_sizes,
    sps_size,
)

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

    def se(self, *numbers: int) -> "Writer":
        return self.ue(*(2 * number - 1 if number > 0 else -2 * number for number in numbers))

    def payload(self) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")


# of each list that is sent, the scales; None for one that is not. A scale of 0 ends its list
SCALES = st.lists(st.none() | st.lists(st.integers(0, 255), min_size=64, max_size=64), max_size=12)


def write_scaling_matrix(bits: Writer, chroma: int, lists: list[list[int] | None]) -> None:
    """Section 7.3.2.1.1.1: differences, from 8 on, until a scale is 0 or the list is whole."""
    for index in range(12 if chroma == 3 else 8):
        scales = lists[index] if index < len(lists) else None
        bits.u(scales is not None, 1)
        last = 8
        for scale in (scales or [])[: 16 if index < 6 else 64]:
            bits.se((scale - last + 128) % 256 - 128)
            if scale == 0:
                break
            last = scale


@settings(max_examples=60)
@given(
    width_mbs=st.integers(1, 1 << 20),
    height_units=st.integers(1, 1 << 20),
    references=st.integers(0, 16),
    progressive=st.booleans(),
    crop=st.none() | st.tuples(*[st.integers(0, 1 << 24)] * 4),
    order=st.integers(0, 2),
    offsets=st.lists(st.integers(0, 1 << 20), max_size=255),
    chroma=st.none() | st.integers(0, 3),
    scales=st.none() | SCALES,
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
    scales: list[list[int] | None] | None,
    cut: int | None,
) -> None:
    """any size, order of pictures, cropping and scaling lists; one that is cut off has no size."""
    bits = Writer().u(66 if chroma is None else 244, 8).u(0, 16).ue(0)
    if chroma is not None:
        bits.ue(chroma)
        if chroma == 3:
            bits.u(0, 1)
        bits.ue(0, 0).u(0, 1).u(scales is not None, 1)
        if scales is not None:
            write_scaling_matrix(bits, chroma, scales)
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
    """garbage has no size, or one, or says that nobody can tell."""
    with contextlib.suppress(UnreadableSize):
        assert all(size.coded_width_px >= 0 for size in picture_sizes(codec, frame))
    with contextlib.suppress(UnreadableSize):
        set_first = b"\0\0\1\x67" + frame * 40
        assert all(size.coded_width_px > 0 for size in picture_sizes(codec, set_first))


def parameter_set(width_mbs: int, *, offsets: tuple[int, ...] = ()) -> bytes:
    """A NAL unit with its emulation bytes, as a frame has it."""
    bits = Writer().u(66, 8).u(0, 16).ue(0, 0, 1).u(0, 1).ue(0, 0, len(offsets), *offsets)
    bits.ue(1).u(0, 1).ue(width_mbs - 1, 8).u(0b1100, 4)
    escaped, zeros = bytearray(b"\x67"), 0
    for byte in bits.payload():
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes(escaped)


SLICE = b"\x65" + bytes(range(4, 60))


@given(st.lists(st.integers(1, 1 << 16), min_size=1, max_size=SPS_MAX), st.booleans())
def test_all_parameter_sets_of_a_frame_are_read(widths_mbs: list[int], is_last: bool) -> None:
    """in their order, zeros in them or not; behind the last one a picture, or nothing."""
    units = [parameter_set(width, offsets=((1 << 30) - 1, 7)) for width in widths_mbs]
    assert any(b"\0\0\3" in unit for unit in units)
    frame = b"".join(b"\0\0\1" + unit for unit in ([*units] if is_last else [*units, SLICE]))
    assert [size.coded_width_px // 16 for size in picture_sizes("H264", frame)] == widths_mbs


@pytest.mark.parametrize(
    "unit",
    [
        parameter_set(2)[:6],
        parameter_set(2, offsets=((1 << 31) - 2,) * 255),
        parameter_set(2, offsets=(0,) * 256),
        (parameter_set(2) + b"\0\0\1") * SPS_MAX + parameter_set(1024),
    ],
    ids=["cut off", "too long", "a number beyond its rule", "too many"],
)
def test_a_size_that_nobody_can_tell_is_not_passed_over(unit: bytes) -> None:
    """the frame is not one that announces nothing: its decoder might read more into it."""
    with pytest.raises(UnreadableSize):
        list(picture_sizes("H264", b"\0\0\1" + unit + b"\0\0\1" + SLICE))


@pytest.mark.parametrize("number", [0, 1, 1000, (1 << 31) - 2])
def test_reading_a_frame_is_little_work(number: int) -> None:
    """whatever stands in it: counted in lines of Python, as milliseconds are the machine's."""
    bits = Writer().u(244, 8).u(0, 16).ue(0, 3).u(0, 1).ue(0, 0).u(0b01, 2)
    for _ in range(12):
        bits.u(1, 1).ue(*(number,) * 64)
    frame = (b"\0\0\1\x67" + bits.payload().replace(b"\0\0", b"\0\0\3")) * 40
    lines = 0

    def count(*_: object) -> object:
        nonlocal lines
        lines += 1
        return count

    sys.settrace(count)  # type: ignore[arg-type]
    try:
        with pytest.raises(UnreadableSize):
            list(picture_sizes("H264", frame))
    finally:
        sys.settrace(None)
    assert lines < 60_000


def test_frames_that_announce_nothing() -> None:
    """a VP8 frame that is no key frame, an H.264 slice, an empty one."""
    assert not list(picture_sizes("VP8", b"\x01" + encoded("libvpx", 32, 32)[1:]))
    assert not list(picture_sizes("H264", b"\0\0\0\1\x41\x9a" + bytes(40)))
    assert not list(picture_sizes("H264", b""))
