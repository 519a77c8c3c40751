"""How much may come: a steady rate, and a burst now and then. Pure."""

from slipstream_protocol.clock import NS_PER_S

_ROUNDING = 1e-9  # many small earnings must come to what one large one is


class TokenBucket:
    """Holds credit, which grows with time and is spent by what comes. Full at first.

    Args:
        rate_per_s: credit that comes in a second.
        burst: the most it holds.

    Raises:
        ValueError: if either is not above 0.
    """

    __slots__ = ("_burst", "_credit", "_rate_per_s", "_seen_ns")

    def __init__(self, *, rate_per_s: float, burst: float) -> None:
        if rate_per_s <= 0 or burst <= 0:
            raise ValueError(f"rate is {rate_per_s} and burst {burst}, both must be above 0")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._credit = burst
        self._seen_ns: int | None = None

    def take(self, cost: float, now_ns: int) -> bool:
        """Spend `cost` if there is so much; else nothing."""
        self._earn(now_ns)
        if self._credit + _ROUNDING < cost:
            return False
        self._credit = max(0.0, self._credit - cost)
        return True

    def wait_s(self, cost: float, now_ns: int) -> float:
        """How long until `cost` could be spent; 0 if now."""
        self._earn(now_ns)
        return max(0.0, (min(cost, self._burst) - self._credit) / self._rate_per_s)

    def is_full(self, now_ns: int) -> bool:
        """Whether nothing was spent for so long that a new one would be the same."""
        self._earn(now_ns)
        return self._credit >= self._burst

    def _earn(self, now_ns: int) -> None:
        if self._seen_ns is not None:
            earned = max(0, now_ns - self._seen_ns) * self._rate_per_s / NS_PER_S
            self._credit = min(self._burst, self._credit + earned)
        self._seen_ns = now_ns
