"""How long to wait between the packets of a large frame. Pure.

A key frame is thirty packets and more; sent in one burst it overflows the small queues of home
routers, and the loss causes a request for another key frame. Ordinary frames pass undelayed.
"""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_BURST_BYTES = 16_000
_WAIT_MIN_NS = 1 * NS_PER_MS  # shorter waits add up first: a timer is no more exact than that


class LeakyBucket:
    """Filled by what is sent, drained at a rate that may change.

    Unlike a `TokenBucket` it never refuses: its level, 0 at first, says how much is sent but not
    yet drained. The unit of amounts and rates is the caller's choice.
    """

    __slots__ = ("_drained_ns", "level")

    def __init__(self) -> None:
        self.level = 0.0
        self._drained_ns: int | None = None

    def add(self, amount: float) -> None:
        """Raise the level by `amount`."""
        self.level += amount

    def drain(self, rate_per_s: float, now_ns: int) -> None:
        """Lower the level by what `rate_per_s` drains from the last call to `now_ns`."""
        if self._drained_ns is not None:
            drained = max(0, now_ns - self._drained_ns) * rate_per_s / NS_PER_S
            self.level = max(0.0, self.level - drained)
        self._drained_ns = now_ns


class Pacer:
    """Says how long to wait after each packet.

    Args:
        pace_bps: rate of the packets beyond the burst, in bit/s.
        burst_bytes: may leave at once.
    """

    def __init__(self, *, pace_bps: int, burst_bytes: int = _BURST_BYTES) -> None:
        self.pace_bps = pace_bps
        self.waited_ns = 0  # in total; counted by the sender, which does the waiting
        self._burst_bits = 8 * burst_bytes
        self._sent_bits = LeakyBucket()

    def wait_after_ns(self, size_bytes: int, now_ns: int) -> int:
        """How long the next packet is to wait after this one of `size_bytes`, just sent."""
        self._sent_bits.drain(self.pace_bps, now_ns)
        self._sent_bits.add(8 * size_bytes)
        wait_ns = int((self._sent_bits.level - self._burst_bits) * NS_PER_S / self.pace_bps)
        return wait_ns if wait_ns >= _WAIT_MIN_NS else 0
