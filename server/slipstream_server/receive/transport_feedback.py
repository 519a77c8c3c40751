"""Transport-wide congestion control, receiving side: reports when each packet came. Pure.

With it Chromium estimates the uplink by itself and quickly; without it the rate follows aiortc's
slow estimate. Layout of a report (RTPFB, FMT 15):

    base sequence 16 | packet count 16 | reference time 24 | report count 8
    chunks of 16, a status for each packet | a delta of 8 or 16 for each packet received | padding

Times are in steps of 64 ms (reference) and 250 us (deltas). Source:
draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.
"""

import struct
from itertools import pairwise

_SEQUENCES = 1 << 16
_TICK_NS = 250_000
_REFERENCE_TICKS = 256
_HISTORY_PACKETS = 512
_HISTORY_TICKS = 4 * 4000  # 4 s, well inside the 8 s that a delta can hold
_LOST, _SMALL, _LARGE = 0, 1, 2
_VECTOR_SYMBOLS = 7
_RUN_MAX = (1 << 13) - 1


class TransportFeedback:
    """The arrival times of one transport's packets, and the reports of them."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}  # by unwrapped sequence number
        self._highest: int | None = None
        self._base = 0  # the first packet of the next report
        self._reports = 0
        self._has_new = False

    def add(self, sequence: int, arrival_ns: int) -> None:
        """A packet with the transport-wide `sequence` of 16 bits has come."""
        if self._highest is None:
            self._highest = self._base = _SEQUENCES + sequence
            at = self._highest
        else:
            half = _SEQUENCES // 2
            at = self._highest + (sequence - self._highest + half) % _SEQUENCES - half
        if at <= self._highest - _HISTORY_PACKETS or at in self._ticks:
            return
        self._ticks[at] = arrival_ns // _TICK_NS
        self._highest = max(self._highest, at)
        self._base = min(self._base, at)
        self._has_new = True

    def report(self) -> bytes | None:
        """The next report's FCI, or None where no packet has come since the last."""
        if not self._has_new or self._highest is None:
            return None
        self._has_new = False
        base = max(self._base, self._highest - _HISTORY_PACKETS + 1)
        known = [self._ticks.get(at) for at in range(base, self._highest + 1)]
        too_old = max(tick for tick in known if tick is not None) - _HISTORY_TICKS
        ticks = [tick if tick is not None and tick > too_old else None for tick in known]
        self._forget(self._highest)
        self._base = self._highest + 1
        number, self._reports = self._reports, (self._reports + 1) % 256
        return _pack(base % _SEQUENCES, ticks, number)

    def _forget(self, highest: int) -> None:
        if len(self._ticks) > 2 * _HISTORY_PACKETS:  # not in each report: it looks at all of them
            oldest = highest - _HISTORY_PACKETS + 1
            self._ticks = {at: tick for at, tick in self._ticks.items() if at >= oldest}


def _pack(base: int, ticks: list[int | None], number: int) -> bytes:
    received = [tick for tick in ticks if tick is not None]
    reference = received[0] // _REFERENCE_TICKS
    deltas = [b - a for a, b in pairwise([reference * _REFERENCE_TICKS, *received])]
    next_delta = iter(deltas)
    symbols = [_LOST if tick is None else _symbol(next(next_delta)) for tick in ticks]
    head = struct.pack("!HH", base, len(ticks))
    head += (reference % (1 << 24)).to_bytes(3, "big") + bytes([number])
    body = b"".join(
        struct.pack("!B" if _symbol(delta) == _SMALL else "!h", delta) for delta in deltas
    )
    report = head + _chunks(symbols) + body
    return report + bytes(-len(report) % 4)


def _symbol(delta: int) -> int:
    return _SMALL if 0 <= delta < 256 else _LARGE


def _chunks(symbols: list[int]) -> bytes:
    """Long runs by their length, all else seven symbols at a time."""
    chunks = []
    at = 0
    while at < len(symbols):
        run = 1
        while at + run < len(symbols) and symbols[at + run] == symbols[at] and run < _RUN_MAX:
            run += 1
        if run > _VECTOR_SYMBOLS:
            chunks.append(symbols[at] << 13 | run)
            at += run
            continue
        chunk = 0b11 << 14
        for index, symbol in enumerate(symbols[at : at + _VECTOR_SYMBOLS]):
            chunk |= symbol << 2 * (_VECTOR_SYMBOLS - 1 - index)
        chunks.append(chunk)
        at += _VECTOR_SYMBOLS
    return struct.pack(f"!{len(chunks)}H", *chunks)
