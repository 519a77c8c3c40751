"""A token bucket: limits a rate, and allows bursts. Pure."""

from slipstream_protocol.clock import NS_PER_S

_ROUNDING = 1e-9  # the sum of many small refills must equal one large refill


class TokenBucket:
    """Credit that refills at a steady rate up to `burst`; full at first.

    Args:
        rate_per_s: credit refilled in a second.
        burst: the most credit it holds.

    Raises:
        ValueError: if either is not above 0.
    """

    __slots__ = ("_burst", "_credit", "_rate_per_s", "_refilled_ns")

    def __init__(self, *, rate_per_s: float, burst: float) -> None:
        if rate_per_s <= 0 or burst <= 0:
            raise ValueError(f"rate is {rate_per_s} and burst {burst}, both must be above 0")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._credit = burst
        self._refilled_ns: int | None = None

    def take(self, cost: float, now_ns: int) -> bool:
        """Spend `cost` if there is enough credit; returns whether."""
        self._refill(now_ns)
        if self._credit + _ROUNDING < cost:
            return False
        self._credit = max(0.0, self._credit - cost)
        return True

    def give_back(self, cost: float, now_ns: int) -> None:
        """Undo a `take` that was not needed."""
        self._refill(now_ns)
        self._credit = min(self._burst, self._credit + cost)

    def wait_s(self, cost: float, now_ns: int) -> float:
        """How long until `cost` can be spent; 0 if it can be now."""
        self._refill(now_ns)
        return max(0.0, (min(cost, self._burst) - self._credit) / self._rate_per_s)

    def is_full(self, now_ns: int) -> bool:
        """Whether the credit is at its most, as in a new bucket."""
        self._refill(now_ns)
        return self._credit >= self._burst

    def _refill(self, now_ns: int) -> None:
        if self._refilled_ns is not None:
            refilled = max(0, now_ns - self._refilled_ns) * self._rate_per_s / NS_PER_S
            self._credit = min(self._burst, self._credit + refilled)
        self._refilled_ns = now_ns
