"""A leaky bucket: filled by what is sent, drained at a rate that may change. Pure.

Unlike a `TokenBucket` it never refuses: its level says how much is sent but not yet drained.
"""

from slipstream_protocol.clock import NS_PER_S


class LeakyBucket:
    """Empty at first; units are the user's."""

    __slots__ = ("_drained_ns", "level")

    def __init__(self) -> None:
        self.level = 0.0
        self._drained_ns: int | None = None

    def add(self, amount: float) -> None:
        """Fill in `amount`."""
        self.level += amount

    def drain(self, rate_per_s: float, now_ns: int) -> None:
        """Let out what `rate_per_s` has drained since the last call."""
        if self._drained_ns is not None:
            drained = max(0, now_ns - self._drained_ns) * rate_per_s / NS_PER_S
            self.level = max(0.0, self.level - drained)
        self._drained_ns = now_ns
