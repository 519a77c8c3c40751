"""What to request after losses: packets once more (NACK), or a key frame (PLI). Pure.

aiortc requests a packet once, when it first sees a gap; if the request or its answer is lost too,
the packet is missed for good. Here every packet is requested again after a round trip, a bounded
number of times. The round trip is measured on the requests themselves.

Sequence numbers are unwrapped: they never start over.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_RTT_NS = 50 * NS_PER_MS  # before the first measurement
_RTT_MIN_NS = 5 * NS_PER_MS
_RTT_MAX_NS = 500 * NS_PER_MS
_RTT_SHARE = 4  # a new measurement moves the estimate by one part in this many
_ANSWER_NS = 10 * NS_PER_MS  # what the sender may take to answer
_RETRY_MIN_NS = 20 * NS_PER_MS
_STALE_SHARE = 4  # of the requests in the heap, so many for each packet that is missing
_PLI_EVERY_NS = 500 * NS_PER_MS
_KEY_WAIT_NS = 3 * NS_PER_S  # some senders make no key frames


@dataclass(slots=True, kw_only=True)
class _Missing:
    """A missing packet: since when, how often it was requested, and when first."""

    since_ns: int
    requests: int = 0
    first_request_ns: int = 0


class NackGenerator:
    """The missing packets of one stream.

    Args:
        max_requests: how often a packet is requested.
        max_missing: how many missing packets are kept; the oldest are given up first.
    """

    def __init__(self, *, max_requests: int = 5, max_missing: int = 256) -> None:
        self.rtt_ns = _RTT_NS
        self._max_requests = max_requests
        self._max_missing = max_missing
        self._missing: dict[int, _Missing] = {}  # by sequence number, ascending
        # a heap of when to request which packet next; some of them are missing no longer
        self._requests: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._missing)

    def on_gap(self, sequences: range, now_ns: int) -> None:
        """These packets are missing, all behind those before: one behind them has come."""
        for sequence in sequences[-self._max_missing :]:
            self._missing[sequence] = _Missing(since_ns=now_ns)
            heapq.heappush(self._requests, (now_ns, sequence))
        while len(self._missing) > self._max_missing:
            del self._missing[next(iter(self._missing))]
        if len(self._requests) > _STALE_SHARE * self._max_missing:
            self._requests = [one for one in self._requests if one[1] in self._missing]
            heapq.heapify(self._requests)

    def on_packet(self, sequence: int, now_ns: int) -> None:
        """A packet has come out of order, by itself or sent again."""
        missing = self._missing.pop(sequence, None)
        if missing is not None and missing.requests:
            # from the first request: too long where a later one was answered, never too short
            rtt_ns = min(max(now_ns - missing.first_request_ns, _RTT_MIN_NS), _RTT_MAX_NS)
            self.rtt_ns += (rtt_ns - self.rtt_ns) // _RTT_SHARE

    def forget_before(self, sequence: int) -> None:
        """No packet before `sequence` is needed any more."""
        while self._missing and (oldest := next(iter(self._missing))) < sequence:
            del self._missing[oldest]

    def missing_since_ns(self, sequence: int) -> int | None:
        """Since when a packet is missing; None where it is not, or was given up."""
        missing = self._missing.get(sequence)
        return None if missing is None else missing.since_ns

    def take_due(self, now_ns: int) -> tuple[int, ...]:
        """The packets to request now, in order; they then count as requested."""
        due: list[int] = []
        while self._requests and self._requests[0][0] <= now_ns:
            _, sequence = heapq.heappop(self._requests)
            missing = self._missing.get(sequence)
            if missing is None:
                continue
            missing.first_request_ns = missing.first_request_ns if missing.requests else now_ns
            missing.requests += 1
            if missing.requests < self._max_requests:
                next_ns = now_ns + max(_RETRY_MIN_NS, self.rtt_ns + _ANSWER_NS)
                heapq.heappush(self._requests, (next_ns, sequence))
            due.append(sequence)
        return tuple(sorted(due))

    def due_ns(self) -> int | None:
        """When `take_due` will next have something."""
        while self._requests and self._requests[0][1] not in self._missing:
            heapq.heappop(self._requests)
        return self._requests[0][0] if self._requests else None


class PliGenerator:
    """When to request a key frame: at once, then twice a second for as long as one is needed."""

    def __init__(self) -> None:
        self._needed_since_ns: int | None = None
        self._next_request_ns = 0

    def has_given_up(self, now_ns: int) -> bool:
        """Whether a key frame has been needed for so long that none will come."""
        since_ns = self._needed_since_ns
        return since_ns is not None and now_ns - since_ns >= _KEY_WAIT_NS

    def take_due(self, needs_key: bool, now_ns: int) -> bool:
        """Whether to request a key frame now; it then counts as requested.

        Args:
            needs_key: whether only a key frame helps at present.
        """
        if not needs_key:
            self._needed_since_ns = None
            return False
        if self._needed_since_ns is None:
            self._needed_since_ns = now_ns
        if now_ns < self._next_request_ns:
            return False
        self._next_request_ns = now_ns + _PLI_EVERY_NS
        return True

    def due_ns(self) -> int | None:
        """When `take_due` or `has_given_up` will next change; None while no key frame is needed."""
        if self._needed_since_ns is None:
            return None
        return min(self._next_request_ns, self._needed_since_ns + _KEY_WAIT_NS)


def ascending_runs(sequences: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Sequence numbers in the order they were sent, parted where the numbers start over: a request
    (RFC 4585, section 6.2.1) counts upwards from its first."""
    begin = 0
    for at in range(1, len(sequences)):
        if sequences[at] < sequences[at - 1]:
            yield tuple(sequences[begin:at])
            begin = at
    if sequences:
        yield tuple(sequences[begin:])
