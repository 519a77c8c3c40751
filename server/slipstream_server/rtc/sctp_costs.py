"""For how many bytes an SCTP datagram counts, by what it makes the event loop do. Pure.

Bytes alone say too little: 1,200 of them may be sixty messages, or acknowledge twenty million
chunks that were never sent, and aiortc goes through each. What a page sends counts for what it is.
"""

import struct
from collections.abc import Iterator

_HEADER_BYTES = 12
_CHUNK = struct.Struct("!BBH")
_SACK = struct.Struct("!LLHH")
_GAP = struct.Struct("!HH")
_TYPE_DATA, _TYPE_SACK = 0, 3
CHUNK_MIN_BYTES = 256  # each chunk is marked, put together and answered
PLACE_BYTES = 16  # each chunk that a SACK says has come out of order
RARE_FACTOR = 16  # of chunks that open, reset and close, parts of which are answered one by one


def cost_bytes(datagram: bytes) -> int:
    """What a datagram counts for; what cannot be read for its bytes (RFC 9260, section 3)."""
    cost = len(datagram)
    for kind, chunk in _chunks(datagram):
        counted = len(chunk)
        if kind == _TYPE_SACK:
            counted += PLACE_BYTES * _places(chunk)
        elif kind != _TYPE_DATA:
            counted *= RARE_FACTOR
        cost += max(counted, CHUNK_MIN_BYTES) - len(chunk)
    return cost


def _chunks(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEADER_BYTES
    while at + _CHUNK.size <= len(datagram):
        kind, _, size = _CHUNK.unpack_from(datagram, at)
        if size < _CHUNK.size:
            return
        yield kind, datagram[at : at + size]
        at += size + -size % 4


def _places(sack: bytes) -> int:
    """How many chunks its gap blocks name, those that overlap more than once (section 3.3.4)."""
    at = _CHUNK.size
    if len(sack) < at + _SACK.size:
        return 0
    _, _, gaps, _ = _SACK.unpack_from(sack, at)
    at += _SACK.size
    blocks = (sack[k : k + _GAP.size] for k in range(at, at + gaps * _GAP.size, _GAP.size))
    read = (_GAP.unpack(block) for block in blocks if len(block) == _GAP.size)
    return sum(max(0, last - first + 1) for first, last in read)
