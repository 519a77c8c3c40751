"""Estimates when a viewer leaves next, by how often viewers have left. Pure."""

from collections import deque

from slipstream_protocol.clock import NS_PER_S

_DEPARTURES = 8
_FIRST_GUESS_S = 10.0
_LEAST_S, _MOST_S = 1.0, 60.0


class TurnoverEstimator:
    """Estimates how long to wait for a free lane; times are of the monotonic clock.

    The estimate is the mean distance between the last few departures, with one assumed distance
    among them. It is short while viewers come and go, and grows while nobody leaves.

    Args:
        since_ns: when the first lane was taken.
    """

    def __init__(self, *, since_ns: int) -> None:
        self._departures_ns: deque[int] = deque([since_ns], maxlen=_DEPARTURES + 1)

    def on_departure(self, now_ns: int) -> None:
        """A viewer has left."""
        self._departures_ns.append(now_ns)

    def wait_s(self, now_ns: int) -> float:
        """When to try again, in seconds from now."""
        observed_s = (now_ns - self._departures_ns[0]) / NS_PER_S
        wait_s = (observed_s + _FIRST_GUESS_S) / len(self._departures_ns)
        return min(max(wait_s, _LEAST_S), _MOST_S)
