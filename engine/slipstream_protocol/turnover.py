"""When a place may come free, by how often one has. Pure."""

from collections import deque

from slipstream_protocol.clock import NS_PER_S

_REMEMBERED = 8
_FIRST_GUESS_S = 10.0
_LEAST_S, _MOST_S = 1.0, 60.0


class TurnoverEstimator:
    """Viewers who leave, at times on the monotonic clock.

    The wait for the next one is the mean distance of the last few, one guess among them, so that it
    is short while viewers come and go and grows while nobody leaves.

    Args:
        since_ns: when places began to be taken.
    """

    def __init__(self, *, since_ns: int) -> None:
        self._left_ns: deque[int] = deque([since_ns], maxlen=_REMEMBERED + 1)

    def left(self, now_ns: int) -> None:
        """A viewer has left."""
        self._left_ns.append(now_ns)

    def wait_s(self, now_ns: int) -> float:
        """When to ask again for a place, in seconds."""
        seen_s = (now_ns - self._left_ns[0]) / NS_PER_S
        wait_s = (seen_s + _FIRST_GUESS_S) / len(self._left_ns)
        return min(max(wait_s, _LEAST_S), _MOST_S)
