"""How long to wait between the packets of a large frame. Pure.

A key frame is thirty packets and more; sent in one burst it overflows the small queues of home
routers, and the loss asks for another key frame. Ordinary frames pass untouched.
"""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_BURST_BYTES = 16_000
_STEP_NS = 1 * NS_PER_MS  # shorter waits are saved up: a timer is no more exact than that


class Pacer:
    """A bucket that fills with what is sent and empties at the pace.

    Args:
        burst_bytes: may leave at once.
        pace_bps: beyond that.
    """

    def __init__(self, *, pace_bps: int, burst_bytes: int = _BURST_BYTES) -> None:
        self.pace_bps = pace_bps
        self.waited_ns = 0  # as its user says
        self._burst_bytes = burst_bytes
        self._level_bytes = 0.0
        self._at_ns = 0

    def sent(self, size_bytes: int, now_ns: int) -> int:
        """How long, in nanoseconds, the next packet shall wait after this one."""
        drained = max(0, now_ns - self._at_ns) * self.pace_bps / (8 * NS_PER_S)
        self._level_bytes = max(0.0, self._level_bytes - drained) + size_bytes
        self._at_ns = now_ns
        over_bytes = self._level_bytes - self._burst_bytes
        wait_ns = int(over_bytes * 8 * NS_PER_S / self.pace_bps)
        return wait_ns if wait_ns >= _STEP_NS else 0
