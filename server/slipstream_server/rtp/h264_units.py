"""H.264's NAL units: those of a payload, a picture's size, and parameter sets that are kept. Pure.

Sources: ITU-T H.264, 7.3.2.1 (sequence parameter sets), 7.3.2.2 (picture parameter sets); RFC 6184,
sections 5.7.1 (STAP-A) and 8.1 (sprop-parameter-sets).
"""

import base64
import binascii
from collections.abc import Iterable, Iterator

SPS, PPS = 7, 8
START_CODE = b"\0\0\0\1"
_STAP_A = 24
_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_KEPT_MAX_UNITS = 32
_KEPT_MAX_BYTES = 4096  # of one unit; real ones have some dozens


class _Bits:
    """The bits of a NAL unit behind its header. Raises ValueError at the end."""

    def __init__(self, unit: bytes) -> None:
        self._bytes = unit[1:].replace(b"\0\0\3", b"\0\0")  # 7.3.1
        self._at = 0

    def read(self, count: int) -> int:
        value = 0
        for _ in range(count):
            if self._at >= 8 * len(self._bytes):
                raise ValueError("the unit is cut off")
            value = value << 1 | self._bytes[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def read_ue(self) -> int:
        """An unsigned Exp-Golomb number (9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("the number is too long")
        return (1 << zeros) - 1 + self.read(zeros)

    def read_se(self) -> int:
        """A signed one (9.1.1)."""
        code = self.read_ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def whole_units(payload: bytes) -> Iterator[bytes]:
    """The NAL units that are whole in a payload."""
    if not payload:
        return
    kind = payload[0] & 0x1F
    if kind == _STAP_A:
        at = 1
        while at + 2 < len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            yield payload[at + 2 : at + 2 + size]
            at += 2 + size
    elif kind < _STAP_A:
        yield payload


def sps_size_px(unit: bytes) -> tuple[int, int] | None:
    """Width and height by a sequence parameter set; None where it cannot be read."""
    try:
        return _size_px(_Bits(unit))
    except ValueError:
        return None


def _size_px(bits: _Bits) -> tuple[int, int]:
    profile = bits.read(8)
    bits.read(16)  # constraints, level
    bits.read_ue()
    chroma_format, has_planes = 1, 0
    if profile in _HIGH_PROFILES:
        chroma_format = bits.read_ue()
        if chroma_format == 3:
            has_planes = bits.read(1)
        bits.read_ue()
        bits.read_ue()
        bits.read(1)
        if bits.read(1):
            for index in range(12 if chroma_format == 3 else 8):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.read_ue()
    order = bits.read_ue()
    if order == 0:
        bits.read_ue()
    elif order == 1:
        bits.read(1)
        bits.read_se()
        bits.read_se()
        for _ in range(min(bits.read_ue(), 255)):
            bits.read_se()
    bits.read_ue()
    bits.read(1)
    width_px = 16 * (bits.read_ue() + 1)
    rows = bits.read_ue() + 1
    is_progressive = bits.read(1)
    if not is_progressive:
        bits.read(1)
    bits.read(1)
    height_px = 16 * rows * (2 - is_progressive)
    if bits.read(1):
        sub_width = 2 if chroma_format in (1, 2) and not has_planes else 1
        sub_height = 2 if chroma_format == 1 and not has_planes else 1
        left, right, top, bottom = (bits.read_ue() for _ in range(4))
        width_px -= sub_width * (left + right)
        height_px -= sub_height * (2 - is_progressive) * (top + bottom)
    if width_px <= 0 or height_px <= 0:
        raise ValueError("the picture has no area")
    return width_px, height_px


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.read_se()) % 256
        last = following or last


def read_sprop(text: str) -> tuple[bytes, ...]:
    """The units in the value of `sprop-parameter-sets`; what is no base64 is left out."""
    units = []
    for part in text.split(",")[:_KEPT_MAX_UNITS]:
        try:
            unit = base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        units.append(unit)
    return tuple(units)


class ParameterSets:
    """The newest parameter sets of one stream, for frames that come without.

    A decoder needs them before the first frame. Some senders give them once, in the SDP or in a
    packet before the first key frame, which may be lost or come before the call stands.

    Args:
        given: NAL units from the SDP; other kinds than parameter sets are ignored.
    """

    def __init__(self, given: Iterable[bytes] = ()) -> None:
        self._units: dict[tuple[int, int], bytes] = {}  # by kind and id
        for unit in given:
            self._keep(unit)

    def on_payload(self, payload: bytes) -> None:
        """An RTP payload has come; keep the sets in it."""
        if payload and payload[0] & 0x1F in (SPS, PPS, _STAP_A):
            for unit in whole_units(payload):
                self._keep(unit)

    def completed(self, data: bytes) -> bytes:
        """A frame in Annex B, behind the sets that it lacks."""
        kinds = _kinds_in(data)
        if SPS in kinds and PPS in kinds:
            return data
        lacking = [unit for (kind, _), unit in sorted(self._units.items()) if kind not in kinds]
        return b"".join(START_CODE + unit for unit in lacking) + data

    def _keep(self, unit: bytes) -> None:
        if not unit or len(unit) > _KEPT_MAX_BYTES or unit[0] & 0x1F not in (SPS, PPS):
            return
        bits = _Bits(unit)
        try:
            if unit[0] & 0x1F == SPS:
                bits.read(24)
            key = (unit[0] & 0x1F, bits.read_ue())
        except ValueError:
            return
        if key in self._units or len(self._units) < _KEPT_MAX_UNITS:
            self._units[key] = unit


def _kinds_in(data: bytes) -> set[int]:
    """The kinds of the NAL units of a frame in Annex B."""
    kinds, at = set(), data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data):
        kinds.add(data[at + 3] & 0x1F)
        if data[at + 3] & 0x1F in (1, 5):
            break  # parameter sets come before the slices
        at = data.find(b"\0\0\1", at + 3)
    return kinds
