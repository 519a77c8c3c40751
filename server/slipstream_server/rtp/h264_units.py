"""H.264's NAL units: those of a payload, a picture's size, and parameter sets that are kept. Pure.

Sources: ITU-T H.264, 7.3.2.1 (sequence parameter sets), 7.3.2.2 (picture parameter sets); RFC 6184,
sections 5.7.1 (STAP-A) and 8.1 (sprop-parameter-sets).
"""

import base64
import binascii
from collections.abc import Iterable, Iterator

from slipstream_server.rtp.picture_size import SPS_MAX, BitReader, sps_size, unescaped

SPS, PPS = 7, 8
START_CODE = b"\0\0\0\1"
_STAP_A = 24
_KEPT_MAX_UNITS = 32
_KEPT_MAX_BYTES = 1024  # of one unit; real ones have some dozens
_ID_BYTES = 12  # of a set's beginning, in which its number is


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
    size = sps_size(unescaped(unit[1:])) if len(unit) <= _KEPT_MAX_BYTES else None
    if size is None or not size.width_px or not size.height_px:
        return None
    return size.width_px, size.height_px


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
    """The newest parameter sets of one stream, for frames that come without; of too many the oldest
    goes.

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
        bits = BitReader(unescaped(unit[1 : 1 + _ID_BYTES]))
        try:
            if unit[0] & 0x1F == SPS:
                bits.take(24)
            key = (unit[0] & 0x1F, bits.ue())
        except ValueError:
            return
        self._units.pop(key, None)
        kept = [other for other in self._units if other[0] == key[0]]
        if len(kept) == (SPS_MAX if key[0] == SPS else _KEPT_MAX_UNITS):
            del self._units[kept[0]]
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
