"""How long to wait between the packets of a large frame. Pure.

A key frame is thirty packets and more; sent in one burst it overflows the small queues of home
routers, and the loss causes a request for another key frame. Ordinary frames pass undelayed.
"""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_server.send.leaky_bucket import LeakyBucket

_BURST_BYTES = 16_000
_WAIT_MIN_NS = 1 * NS_PER_MS  # shorter waits add up first: a timer is no more exact than that


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
