"""H.264's parameter sets: sizes as FFmpeg's encoder writes them, and sets that are kept."""

import base64
from fractions import Fraction

import av
import pytest
from aiortc.codecs.h264 import H264Encoder as Packer
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.rtp.depacketize import payload_content
from slipstream_server.rtp.h264_units import (
    PPS,
    SPS,
    START_CODE,
    ParameterSets,
    read_sprop,
    sps_size_px,
    whole_units,
)

SLICE = START_CODE + b"\x65rest"


def key_frame(width_px: int, height_px: int, **options: str) -> bytes:
    """In Annex B."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = width_px, height_px
    encoder.pix_fmt = options.pop("pix_fmt", "yuv420p")
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"tune": "zerolatency"} | options
    frame = VideoFrame(width_px, height_px, encoder.pix_fmt)
    frame.pts = 0
    return bytes([*encoder.encode(frame), *encoder.encode(None)][0])


def units_of(frame: bytes) -> dict[int, bytes]:
    """By kind; the start codes are of three or four bytes."""
    parts = frame.replace(START_CODE, START_CODE[1:]).split(START_CODE[1:])[1:]
    return {part[0] & 0x1F: part for part in parts}


@pytest.mark.parametrize(
    ("width_px", "height_px", "options"),
    [
        (640, 480, {"profile": "baseline"}),
        (1920, 1080, {"profile": "high"}),
        (1280, 720, {"profile": "main"}),
        (854, 480, {}),
        (162, 90, {"x264-params": "cqm=jvt"}),
        (720, 576, {"x264-params": "interlaced=1"}),
        (322, 242, {"pix_fmt": "yuv444p"}),
        (322, 242, {"pix_fmt": "yuv422p"}),
    ],
)
def test_the_size_is_that_of_the_picture(
    width_px: int, height_px: int, options: dict[str, str]
) -> None:
    """in every profile, cropped as it says."""
    frame = key_frame(width_px, height_px, **options)
    assert sps_size_px(units_of(frame)[SPS]) == (width_px, height_px)


def test_a_packet_tells_the_size() -> None:
    """alone and with others (STAP-A)."""
    packet = av.Packet(key_frame(640, 480))
    packet.pts, packet.time_base = 0, Fraction(1, 90_000)
    payloads, _ = Packer().pack(packet)
    assert payload_content("H264", payloads[0]).size_px == (640, 480)
    assert payload_content("H264", units_of(bytes(packet))[SPS]).size_px == (640, 480)
    assert payload_content("H264", b"\x65rest").size_px is None


def test_a_vp8_key_frame_tells_the_size() -> None:
    """and no other frame does."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 854, 480, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    frame = VideoFrame(854, 480, "yuv420p")
    frame.pts = 0
    data = bytes([*encoder.encode(frame), *encoder.encode(None)][0])
    assert payload_content("VP8", b"\x90\x80\x01" + data).size_px == (854, 480)
    assert payload_content("VP8", b"\x10" + data[:8]).size_px is None


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """are a size, or none."""
    for unit in (data, bytes([0x67]) + data):
        size_px = sps_size_px(unit)
        assert size_px is None or min(size_px) > 0
    list(whole_units(data))
    sets = ParameterSets([data])
    sets.on_payload(data)
    assert sets.completed(data).endswith(data)


def test_what_a_frame_lacks_is_put_before_it() -> None:
    """from the SDP, and newer ones from packets; a frame that has its own is left alone."""
    old, new = units_of(key_frame(640, 480)), units_of(key_frame(320, 240))
    text = ",".join(base64.b64encode(old[kind]).decode().rstrip("=") for kind in (SPS, PPS))
    sets = ParameterSets(read_sprop(text))
    assert sets.completed(SLICE) == START_CODE + old[SPS] + START_CODE + old[PPS] + SLICE
    sets.on_payload(new[SPS])
    sizes = b"".join(len(new[kind]).to_bytes(2, "big") + new[kind] for kind in (SPS, PPS))
    sets.on_payload(bytes([24]) + sizes)
    whole = START_CODE + new[SPS] + START_CODE + new[PPS] + SLICE
    assert sets.completed(SLICE) == whole
    assert sets.completed(whole) == whole
    assert ParameterSets().completed(SLICE) == SLICE


def test_what_is_no_parameter_set_is_not_kept() -> None:
    """however it is named in the SDP, and however much of it there is."""
    sets = ParameterSets(read_sprop("!!,AAAA,,ZQ==," + base64.b64encode(SLICE).decode()))
    assert sets.completed(SLICE) == SLICE
    sets = ParameterSets(bytes([0x68, *number.to_bytes(3, "big")]) for number in range(1, 1 << 12))
    assert len(sets.completed(SLICE)) < 64 * 40


def test_of_too_many_sets_the_oldest_go() -> None:
    """a frame is never put behind more than are read of it."""
    sets = ParameterSets()
    # 24 bits, then the number of the set: 0 is 1, 1 is 010, 2 is 011 ...
    units = [
        bytes([0x67, 66, 0, 30]) + tail for tail in (b"\x80", b"\x40", b"\x60", b"\x20", b"\x28")
    ]
    for unit in [*units[:1], *units]:
        sets.on_payload(unit)
    assert sets.completed(SLICE) == b"".join(START_CODE + unit for unit in units[1:]) + SLICE
