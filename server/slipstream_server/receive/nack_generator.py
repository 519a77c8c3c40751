"""Which lost packets to ask for again, and when. Pure.

aiortc asks once, when it first sees a gap; a request or its answer that is lost too would then be
missed for good. Here every packet is asked for again after a round trip, a bounded number of times.
The round trip is measured on the requests themselves.

Sequence numbers are unwrapped: they never start over.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS

_RTT_NS = 50 * NS_PER_MS  # before the first measurement
_RTT_MIN_NS = 5 * NS_PER_MS
_RTT_MAX_NS = 500 * NS_PER_MS
_RTT_SHARE = 4  # a new measurement moves the estimate by one part in this many
_ANSWER_NS = 10 * NS_PER_MS  # what the other side may take to answer
_AGAIN_MIN_NS = 20 * NS_PER_MS


@dataclass(slots=True, kw_only=True)
class _Missing:
    noticed_ns: int
    due_ns: int
    asked: int = 0
    asked_ns: int = 0


class NackGenerator:
    """The missing packets of one stream.

    Args:
        tries: how often a packet is asked for.
        bound: how many missing packets are kept; the oldest are given up first.
    """

    def __init__(self, *, tries: int = 5, bound: int = 256) -> None:
        self.rtt_ns = _RTT_NS
        self._tries = tries
        self._bound = bound
        self._missing: dict[int, _Missing] = {}

    def __len__(self) -> int:
        return len(self._missing)

    def missed(self, sequences: range, now_ns: int) -> None:
        """A gap was seen."""
        for sequence in sequences[-self._bound :]:
            self._missing[sequence] = _Missing(noticed_ns=now_ns, due_ns=now_ns)
        while len(self._missing) > self._bound:
            del self._missing[min(self._missing)]

    def arrived(self, sequence: int, now_ns: int) -> None:
        """A packet came, late or asked for."""
        missing = self._missing.pop(sequence, None)
        if missing is not None and missing.asked:
            # from the first request: too long where a later one was answered, never too short
            rtt_ns = min(max(now_ns - missing.asked_ns, _RTT_MIN_NS), _RTT_MAX_NS)
            self.rtt_ns += (rtt_ns - self.rtt_ns) // _RTT_SHARE

    def forget_before(self, sequence: int) -> None:
        """Nothing before `sequence` is wanted any more."""
        if self._missing:
            for old in [missing for missing in self._missing if missing < sequence]:
                del self._missing[old]

    def noticed_ns(self, sequence: int) -> int | None:
        """When a packet was first missed, None where it is not."""
        missing = self._missing.get(sequence)
        return None if missing is None else missing.noticed_ns

    def due(self, now_ns: int) -> tuple[int, ...]:
        """The packets to ask for now, in order; each is then asked for."""
        due = []
        for sequence, missing in self._missing.items():
            if missing.asked < self._tries and missing.due_ns <= now_ns:
                missing.asked_ns = missing.asked_ns if missing.asked else now_ns
                missing.asked += 1
                missing.due_ns = now_ns + max(_AGAIN_MIN_NS, self.rtt_ns + _ANSWER_NS)
                due.append(sequence)
        return tuple(sorted(due))

    def due_ns(self) -> int | None:
        """When `due` will next have something."""
        return min(
            (one.due_ns for one in self._missing.values() if one.asked < self._tries), default=None
        )
