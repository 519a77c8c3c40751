"""Which packets a viewer asks for are sent again, and when asking has become useless. Pure.

A full link makes viewers ask faster than answers can arrive: answering each request fills the link
with copies. So a packet is sent again once in a round trip at most. Where that does not help, or
the packet is kept no longer, only a key frame does; browsers ask for one after seconds. What is
older than the last key frame is of no use to anybody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_TRIES = 4
_PATIENCE_NS = 500 * NS_PER_MS
_AGAIN_MIN_NS = 30 * NS_PER_MS
_FORGET_NS = 5 * NS_PER_S
_BOUND = 512
_SEQUENCES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RetransmitDecision:
    """The packets to send again; whether a key frame is needed as well."""

    sequences: tuple[int, ...]
    needs_key: bool


@dataclass(slots=True, kw_only=True)
class _Request:
    first_ns: int
    sent_ns: int
    tries: int = 0


class RetransmitPolicy:
    """The requests of one viewer.

    Args:
        kept: whether a packet can still be sent again.
    """

    def __init__(self, kept: Callable[[int], bool]) -> None:
        self._kept = kept
        self._requests: dict[int, _Request] = {}  # oldest first
        self._key: int | None = None

    def __len__(self) -> int:
        return len(self._requests)

    def key_sent(self, sequence: int) -> None:
        """A key frame begins with this packet."""
        self._key = sequence

    def answer(self, sequences: Sequence[int], now_ns: int, rtt_ns: int) -> RetransmitDecision:
        """What to do about a request for `sequences`.

        Args:
            rtt_ns: to the viewer and back.
        """
        self._forget(now_ns)
        again_ns = max(rtt_ns, _AGAIN_MIN_NS)
        chosen = []
        needs_key = False
        for sequence in sequences:
            if self._key is not None and 0 < (self._key - sequence) % _SEQUENCES < _SEQUENCES // 2:
                continue
            request = self._requests.get(sequence)
            if request is None:
                request = _Request(first_ns=now_ns, sent_ns=now_ns - again_ns)
                self._requests[sequence] = request
            if now_ns - request.sent_ns < again_ns:
                continue
            if (
                request.tries == _TRIES
                or now_ns - request.first_ns > _PATIENCE_NS + rtt_ns
                or not self._kept(sequence)
            ):
                needs_key = True
                continue
            request.tries += 1
            request.sent_ns = now_ns
            chosen.append(sequence)
        return RetransmitDecision(sequences=tuple(chosen), needs_key=needs_key)

    def _forget(self, now_ns: int) -> None:
        """Numbers come round again; what is old is another packet's."""
        while self._requests:
            oldest = next(iter(self._requests))
            if (
                len(self._requests) <= _BOUND
                and now_ns - self._requests[oldest].first_ns < _FORGET_NS
            ):
                return
            del self._requests[oldest]
