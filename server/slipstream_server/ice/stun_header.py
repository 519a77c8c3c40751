"""What a STUN message is and whom it is for, read without parsing the rest (RFC 8489). Pure.

It is done for every message that comes to a port which many calls share, before anything of it is
believed.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

_COOKIE = b"\x21\x12\xa4\x42"
_HEADER_BYTES = 20
_USERNAME = 0x0006
_ATTRIBUTES_MAX = 8  # that are passed over in search of the user name; it is the first or second
_USERNAME_MAX_BYTES = 513  # two names of 256 at most, and the colon (RFC 8445, section 7.2.2)


class StunKind(IntEnum):
    """Messages of the Binding method, by their type."""

    REQUEST = 0x0001
    INDICATION = 0x0011
    SUCCESS = 0x0101
    ERROR = 0x0111


@dataclass(frozen=True, slots=True)
class StunHeader:
    """A message's kind, and the number that a response repeats of its request."""

    kind: StunKind
    transaction_id: bytes


def is_stun(data: bytes) -> bool:
    """Whether a datagram is meant as STUN, by its first byte (RFC 7983)."""
    return bool(data) and data[0] < 4


def read_header(data: bytes) -> StunHeader | None:
    """The header of a Binding message; None if it is no such message."""
    if len(data) < _HEADER_BYTES or data[4:8] != _COOKIE:
        return None
    try:
        kind = StunKind(data[0] << 8 | data[1])
    except ValueError:
        return None
    return StunHeader(kind, data[8:20])


def called_ufrag(request: bytes) -> str | None:
    """The user name of the side that a check is sent to, which stands before the colon of USERNAME
    (RFC 8445, section 7.2.2); None if it has none."""
    at = _HEADER_BYTES
    for _ in range(_ATTRIBUTES_MAX):
        if at + 4 > len(request):
            return None
        kind, length = struct.unpack_from("!HH", request, at)
        if kind == _USERNAME:
            value = request[at + 4 : at + 4 + min(length, _USERNAME_MAX_BYTES)]
            called, colon, _ = value.partition(b":")
            return called.decode("ascii", "replace") if colon else None
        at += 4 + length + -length % 4
    return None
