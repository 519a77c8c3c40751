"""Transport-wide feedback, read: which of the packets sent have come, and when. Pure.

The layout is in `receive/transport_feedback.py`, which writes it. Source:
draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

TRANSPORT_FEEDBACK_FMT = 15
_RTPFB = 205
_RTCP_HEADER = struct.Struct("!BBH")
_SSRCS_BYTES = 8
_HEAD_BYTES = 8
_TICK_NS = 250_000
_REFERENCE_TICKS = 256
_PACKETS_MAX = 4096  # of a report; a few bytes may claim sixteen times as many
_SMALL, _LARGE = 1, 2


class BrokenReport(ValueError):
    """The bytes are no report."""


@dataclass(frozen=True, slots=True)
class ArrivalReport:
    """One report.

    Args:
        base: transport-wide sequence number of the first packet it is about.
        ticks_ns: when each packet came, from there on, on the receiver's clock, which wraps around
            at `WRAP_NS`; None for those that have not.
    """

    base: int
    ticks_ns: tuple[int | None, ...]

    @property
    def missing(self) -> int:
        """How many packets have not come, or not yet."""
        return self.ticks_ns.count(None)


WRAP_NS = (1 << 24) * _REFERENCE_TICKS * _TICK_NS


def find_reports(rtcp: bytes) -> Iterator[bytes]:
    """The FCI of each transport-wide report in a compound RTCP packet, which may be broken."""
    at = 0
    while at + _RTCP_HEADER.size <= len(rtcp):
        first, kind, words = _RTCP_HEADER.unpack_from(rtcp, at)
        end = at + 4 * (words + 1)
        if kind == _RTPFB and first & 0x1F == TRANSPORT_FEEDBACK_FMT and end <= len(rtcp):
            padding = rtcp[end - 1] if first & 0x20 else 0
            yield rtcp[at + _RTCP_HEADER.size + _SSRCS_BYTES : end - padding]
        at = end


def read_arrivals(fci: bytes) -> ArrivalReport:
    """A report.

    Raises:
        BrokenReport: if it ends early, or is about more packets than can be on their way.
    """
    if len(fci) < _HEAD_BYTES:
        raise BrokenReport(f"{len(fci)} bytes, a report has at least {_HEAD_BYTES}")
    base, count = struct.unpack_from("!HH", fci)
    if count > _PACKETS_MAX:
        raise BrokenReport(f"about {count} packets, at most {_PACKETS_MAX} are believed")
    try:
        symbols, at = _symbols(fci, count)
        return ArrivalReport(base, tuple(_times(fci, at, symbols)))
    except (struct.error, IndexError):
        raise BrokenReport(f"{len(fci)} bytes end before {count} packets") from None


def _symbols(fci: bytes, count: int) -> tuple[list[int], int]:
    """The status of each packet, and where the deltas begin."""
    symbols: list[int] = []
    at = _HEAD_BYTES
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", fci, at)
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * min(chunk & 0x1FFF, count - len(symbols))
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return symbols[:count], at


def _times(fci: bytes, at: int, symbols: list[int]) -> Iterator[int | None]:
    tick = int.from_bytes(fci[4:7], "big") * _REFERENCE_TICKS
    for symbol in symbols:
        if symbol == _SMALL:
            tick += fci[at]
            at += 1
        elif symbol == _LARGE:
            tick += int(struct.unpack_from("!h", fci, at)[0])
            at += 2
        yield tick * _TICK_NS if symbol in (_SMALL, _LARGE) else None
