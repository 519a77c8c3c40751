"""What an RTP payload says of its frame: whether one starts here, whether it is a key frame. Pure.

Sources: RFC 6184 section 5 (H.264), RFC 7741 section 4 (VP8).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slipstream_server.rtp.h264_units import SPS, sps_size_px, whole_units

_SLICE_IDR = 5
_ACCESS_UNIT_DELIMITER = 9
_STAP_A = 24
_FU_A = 28
_VP8_START_CODE = b"\x9d\x01\x2a"  # RFC 6386, section 9.1
_KEY_UNITS = (_SLICE_IDR, SPS)
_FIRST_UNITS = (SPS, _ACCESS_UNIT_DELIMITER)
_TOLD_UNITS = (*_KEY_UNITS, *_FIRST_UNITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadContent:
    """One payload.

    Args:
        starts_frame: whether it is surely the first of its frame, whatever came before it.
        is_key: whether its frame is a key frame; only some payloads of a key frame say so.
        size_px: width and height of the picture, where the payload says so.
    """

    starts_frame: bool
    is_key: bool
    size_px: tuple[int, int] | None = None


CONTINUATION = PayloadContent(starts_frame=False, is_key=False)


def payload_content(codec: str, payload: bytes) -> PayloadContent:
    """Read a payload of `codec`, as aiortc names it ("H264", "VP8")."""
    if codec == "H264":
        return _h264(payload)
    if codec == "VP8":
        return _vp8(payload)
    return CONTINUATION


def _h264(payload: bytes) -> PayloadContent:
    units = _h264_units(payload)
    if not any(unit in _TOLD_UNITS for unit in units):
        return CONTINUATION
    size_px = None
    if SPS in units:
        size_px = next(
            (sps_size_px(unit) for unit in whole_units(payload) if unit and unit[0] & 0x1F == SPS),
            None,
        )
    return PayloadContent(
        starts_frame=units[0] in _FIRST_UNITS,
        is_key=any(unit in _KEY_UNITS for unit in units),
        size_px=size_px,
    )


def _h264_units(payload: bytes) -> Sequence[int]:
    """The NAL unit types that begin in a payload."""
    kind = payload[0] & 0x1F if payload else _FU_A
    if kind == _FU_A:
        return (payload[1] & 0x1F,) if len(payload) > 1 and payload[1] & 0x80 else ()
    if kind != _STAP_A:
        return (kind,)
    units, at = [], 1
    while at + 2 < len(payload):
        units.append(payload[at + 2] & 0x1F)
        at += 2 + int.from_bytes(payload[at : at + 2], "big")
    return units


def _vp8(payload: bytes) -> PayloadContent:
    """The byte behind the descriptor begins the first partition; it is even in a key frame."""
    if not payload or payload[0] & 0x17 != 0x10:  # S = 1 and PID = 0
        return CONTINUATION
    at = 1
    if payload[0] & 0x80 and len(payload) > 1:
        flags = payload[1]
        at = 2
        if flags & 0x80:
            at += 2 if len(payload) > at and payload[at] & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    is_key = len(payload) > at and not payload[at] & 0x01
    size_px = None
    if is_key and payload[at + 3 : at + 6] == _VP8_START_CODE and len(payload) >= at + 10:
        width_px, height_px = (
            int.from_bytes(payload[at + skip : at + skip + 2], "little") & 0x3FFF for skip in (6, 8)
        )
        size_px = (width_px, height_px)
    return PayloadContent(starts_frame=True, is_key=is_key, size_px=size_px)
