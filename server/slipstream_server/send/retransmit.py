"""Which packets a viewer requests (NACK) are sent again, and when only a key frame helps. Pure.

On a full link viewers send requests faster than answers can arrive; answering each request would
fill the link with copies. So a packet is sent again once in a round trip at most. Where that does
not help, or the packet is no longer in the history, only a key frame does; browsers request one
only after seconds. Packets older than the last key frame are of no use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_MAX_RETRANSMITS = 4
_GIVE_UP_NS = 500 * NS_PER_MS
_RETRANSMIT_MIN_NS = 30 * NS_PER_MS
_FORGET_NS = 5 * NS_PER_S
_MAX_REQUESTS = 512
_SEQUENCES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RetransmitDecision:
    """The packets to send again; whether a key frame is needed as well."""

    sequences: tuple[int, ...]
    needs_key: bool


@dataclass(slots=True, kw_only=True)
class _Request:
    first_ns: int
    retransmitted_ns: int
    retransmits: int = 0


class RetransmitPolicy:
    """Decides about the requests of one viewer.

    Args:
        in_history: whether a packet can still be sent again.
    """

    def __init__(self, in_history: Callable[[int], bool]) -> None:
        self._in_history = in_history
        self._requests: dict[int, _Request] = {}  # oldest first
        self._key_sequence: int | None = None

    def __len__(self) -> int:
        return len(self._requests)

    def on_key_frame_sent(self, sequence: int) -> None:
        """A key frame that starts with this packet was sent."""
        self._key_sequence = sequence

    def decide(self, sequences: Sequence[int], now_ns: int, rtt_ns: int) -> RetransmitDecision:
        """What to do about a request for `sequences`.

        Args:
            rtt_ns: to the viewer and back.
        """
        self._forget(now_ns)
        spacing_ns = max(rtt_ns, _RETRANSMIT_MIN_NS)
        chosen = []
        needs_key = False
        for sequence in sequences:
            if self._is_before_key_frame(sequence):
                continue
            request = self._requests.get(sequence)
            if request is None:
                request = _Request(first_ns=now_ns, retransmitted_ns=now_ns - spacing_ns)
                self._requests[sequence] = request
            if now_ns - request.retransmitted_ns < spacing_ns:
                continue
            if (
                request.retransmits == _MAX_RETRANSMITS
                or now_ns - request.first_ns > _GIVE_UP_NS + rtt_ns
                or not self._in_history(sequence)
            ):
                needs_key = True
                continue
            request.retransmits += 1
            request.retransmitted_ns = now_ns
            chosen.append(sequence)
        return RetransmitDecision(sequences=tuple(chosen), needs_key=needs_key)

    def _is_before_key_frame(self, sequence: int) -> bool:
        key = self._key_sequence
        return key is not None and 0 < (key - sequence) % _SEQUENCES < _SEQUENCES // 2

    def _forget(self, now_ns: int) -> None:
        """Drop old requests: sequence numbers start over, and would mean another packet."""
        while self._requests:
            oldest = next(iter(self._requests))
            if (
                len(self._requests) <= _MAX_REQUESTS
                and now_ns - self._requests[oldest].first_ns < _FORGET_NS
            ):
                return
            del self._requests[oldest]
