"""What an RTP payload says of its picture: does one begin here, can it stand alone. Pure.

Sources: RFC 6184 section 5 (H.264), RFC 7741 section 4 (VP8).
"""

from collections.abc import Iterator
from dataclasses import dataclass

_SLICE_IDR = 5
_SPS = 7
_ACCESS_UNIT_DELIMITER = 9
_STAP_A = 24
_FU_A = 28
_KEY_UNITS = (_SLICE_IDR, _SPS)
_FIRST_UNITS = (_SPS, _ACCESS_UNIT_DELIMITER)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadContent:
    """One payload.

    Args:
        begins: whether it is surely the first of its picture, whatever came before it.
        key: whether its picture can be decoded without those before it; only some payloads of
            such a picture tell.
    """

    begins: bool
    key: bool


INNER = PayloadContent(begins=False, key=False)


def payload_content(codec: str, payload: bytes) -> PayloadContent:
    """Look into a payload of `codec`, as aiortc names it ("H264", "VP8")."""
    if codec == "H264":
        return _h264(payload)
    if codec == "VP8":
        return _vp8(payload)
    return INNER


def _h264(payload: bytes) -> PayloadContent:
    units = list(_h264_units(payload))
    return PayloadContent(
        begins=bool(units) and units[0] in _FIRST_UNITS,
        key=any(unit in _KEY_UNITS for unit in units),
    )


def _h264_units(payload: bytes) -> Iterator[int]:
    """The types of the units that begin in a payload."""
    if not payload:
        return
    kind = payload[0] & 0x1F
    if kind == _FU_A:
        if len(payload) > 1 and payload[1] & 0x80:
            yield payload[1] & 0x1F
    elif kind == _STAP_A:
        at = 1
        while at + 2 < len(payload):
            yield payload[at + 2] & 0x1F
            at += 2 + int.from_bytes(payload[at : at + 2], "big")
    else:
        yield kind


def _vp8(payload: bytes) -> PayloadContent:
    """The byte behind the descriptor begins the first partition; it is even in a key frame."""
    if not payload or payload[0] & 0x17 != 0x10:  # S = 1 and PID = 0
        return INNER
    at = 1
    if payload[0] & 0x80 and len(payload) > 1:
        flags = payload[1]
        at = 2
        if flags & 0x80:
            at += 2 if len(payload) > at and payload[at] & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    return PayloadContent(begins=True, key=len(payload) > at and not payload[at] & 0x01)
