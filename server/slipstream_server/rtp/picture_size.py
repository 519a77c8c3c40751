"""The size of a picture, read from its encoded frame before any decoder sees it. Pure.

Sources: RFC 6386 section 9.1 (VP8), ITU-T H.264 sections 7.3.2.1.1 and 7.4.2.1.1 (sequence
parameter set), Annex B (start codes).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_VP8_START = b"\x9d\x01\x2a"
_VP8_HEAD_BYTES = 10
_START_CODE = b"\x00\x00\x01"
_EMULATION = b"\x00\x00\x03"
_SPS = re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67\x87\xa7\xc7\xe7]")  # NAL units of type 7
_SPS_MAX_BYTES = 1024  # real ones have some dozens, with all scaling lists some hundreds
SPS_MAX = 4  # in one frame; encoders write one or two
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_MACROBLOCK_PX = 16
_UE_ZEROS_MAX = 31
_OFFSETS_MAX = 255  # num_ref_frames_in_pic_order_cnt_cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSize:
    """One size in pixels.

    Args:
        coded_width_px, coded_height_px: what a decoder allocates, before cropping.
        reference_frames: that it keeps beside the one it decodes.
    """

    width_px: int
    height_px: int
    coded_width_px: int
    coded_height_px: int
    reference_frames: int


class UnreadableSize(ValueError):
    """The size that a frame announces cannot be told."""


def picture_sizes(codec: str, frame: bytes) -> Iterator[PictureSize]:
    """The sizes that an encoded frame of `codec` ("H264", "VP8") announces; most announce none.

    Raises:
        UnreadableSize: if it has a parameter set that breaks a rule, or too many or too long ones
            to be read on a live path. What a decoder would make of these nobody knows.
    """
    if codec == "VP8":
        yield from _vp8_size(frame)
    elif codec == "H264":
        for unit in _parameter_sets(frame):
            size = sps_size(unit)
            if size is None:
                raise UnreadableSize(
                    "a sequence parameter set (H.264) breaks the rules of its kind"
                )
            yield size


def _vp8_size(frame: bytes) -> Iterator[PictureSize]:
    """Of a key frame; each side has 14 bits, and the two above are for scaling by the viewer."""
    is_key = len(frame) >= _VP8_HEAD_BYTES and not frame[0] & 1
    if not is_key or frame[3:6] != _VP8_START:
        return
    width_px = int.from_bytes(frame[6:8], "little") & 0x3FFF
    height_px = int.from_bytes(frame[8:10], "little") & 0x3FFF
    yield PictureSize(
        width_px=width_px,
        height_px=height_px,
        coded_width_px=_round_up(width_px),
        coded_height_px=_round_up(height_px),
        reference_frames=3,  # last, golden and alternate
    )


def _round_up(side_px: int) -> int:
    return -(-side_px // _MACROBLOCK_PX) * _MACROBLOCK_PX


def _parameter_sets(frame: bytes) -> Iterator[bytes]:
    """The payloads of the sequence parameter sets of a frame in Annex B's form."""
    for number, start in enumerate(_SPS.finditer(frame)):
        if number == SPS_MAX:
            raise UnreadableSize(f"a frame has more than {SPS_MAX} sequence parameter sets")
        begin = start.end()
        end = frame.find(_START_CODE, begin, begin + _SPS_MAX_BYTES)
        if end < 0 and len(frame) > begin + _SPS_MAX_BYTES:
            raise UnreadableSize(f"a sequence parameter set has more than {_SPS_MAX_BYTES} bytes")
        yield unescaped(frame[begin : end if end >= 0 else len(frame)])


def unescaped(unit: bytes) -> bytes:
    """A part of a NAL unit without its emulation bytes (section 7.3.1)."""
    return unit.replace(_EMULATION, b"\x00\x00")


def sps_size(payload: bytes) -> PictureSize | None:
    """Of a sequence parameter set, without its NAL header and emulation bytes; None if it is cut
    off or breaks a rule."""
    try:
        return _read_sps(BitReader(payload))
    except _CutOff:
        return None


def _read_sps(bits: "BitReader") -> PictureSize:
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.ue()  # seq_parameter_set_id
    chroma, is_separate = 1, 0
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        is_separate = bits.take(1) if chroma == 3 else 0
        bits.ue(), bits.ue()  # bit depths
        bits.take(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.take(1)
        bits.ue(), bits.ue()  # signed, as long
        offsets = bits.ue()
        if offsets > _OFFSETS_MAX:
            raise _CutOff
        for _ in range(offsets):
            bits.ue()
    reference_frames = bits.ue()
    bits.take(1)  # gaps_in_frame_num_value_allowed_flag
    width_mbs, height_units = bits.ue() + 1, bits.ue() + 1
    frame_mbs_only = bits.take(1)
    if not frame_mbs_only:
        bits.take(1)  # mb_adaptive_frame_field_flag
    bits.take(1)  # direct_8x8_inference_flag
    coded_width_px = width_mbs * _MACROBLOCK_PX
    coded_height_px = (2 - frame_mbs_only) * height_units * _MACROBLOCK_PX
    crop = [bits.ue() for _ in range(4)] if bits.take(1) else [0, 0, 0, 0]
    if is_separate or chroma == 0:
        unit_x, unit_y = 1, 1
    else:
        unit_x, unit_y = (1 if chroma == 3 else 2), (2 if chroma == 1 else 1)
    unit_y *= 2 - frame_mbs_only
    return PictureSize(
        width_px=max(0, coded_width_px - unit_x * (crop[0] + crop[1])),
        height_px=max(0, coded_height_px - unit_y * (crop[2] + crop[3])),
        coded_width_px=coded_width_px,
        coded_height_px=coded_height_px,
        reference_frames=reference_frames,
    )


def _skip_scaling_list(bits: "BitReader", length: int) -> None:
    last = following = 8
    for _ in range(length):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


class _CutOff(ValueError):
    """The bits have ended within a number, or the number is none."""


class BitReader:
    """Reads the bits of a NAL unit behind its header, its emulation bytes taken out.

    Raises ValueError where they have ended.
    """

    def __init__(self, payload: bytes) -> None:
        # as text, in which a search finds the end of a number's zeros
        self._bits = format(int.from_bytes(b"\x01" + payload), "b")[1:]
        self._at = 0

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        start, self._at = self._at, self._at + count
        if self._at > len(self._bits):
            raise _CutOff
        return int(self._bits[start : self._at], 2) if count else 0

    def ue(self) -> int:
        """An unsigned Exp-Golomb number (section 9.1)."""
        one = self._bits.find("1", self._at, self._at + _UE_ZEROS_MAX + 1)
        if one < 0:
            raise _CutOff
        zeros, self._at = one - self._at, one
        return self.take(zeros + 1) - 1

    def se(self) -> int:
        """A signed one."""
        number = self.ue()
        return (number + 1) // 2 if number % 2 else -(number // 2)
