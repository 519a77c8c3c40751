"""When a frame was captured, told from its RTP time and its arrival. Pure.

RTP times are exact against each other but have no common zero with our clock; arrivals are on our
clock but carry the network's and the decoder's delays. The fastest arrival of late is the best
estimate of the zero: every other frame came later than it was sent, none came sooner.
"""

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, rtp_to_ns

_FORGET_NS_PER_S = 1 * NS_PER_MS
_JUMP_NS = 1 * NS_PER_S


class CaptureClock:
    """Puts RTP times of one track on the machine's monotonic line.

    The offset falls at once when a frame comes faster than any before, and rises by a millisecond a
    second otherwise, which follows a drifting camera clock and a route that has become longer. A
    jump of more than a second is a new source: the clock is set anew.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._arrived_ns = 0

    def captured_ns(self, pts: int, arrived_ns: int) -> int:
        """The capture time of a frame, never later than its arrival.

        Args:
            pts: the frame's RTP time, in 90 kHz ticks since the track began.
            arrived_ns: when its decoded picture came, on the monotonic clock.
        """
        pts_ns = rtp_to_ns(pts)
        seen_ns = arrived_ns - pts_ns
        if self._offset_ns is None or abs(seen_ns - self._offset_ns) > _JUMP_NS:
            self._offset_ns = seen_ns
        else:
            elapsed_ns = max(0, arrived_ns - self._arrived_ns)
            risen_ns = self._offset_ns + elapsed_ns * _FORGET_NS_PER_S // NS_PER_S
            self._offset_ns = min(risen_ns, seen_ns)
        self._arrived_ns = arrived_ns
        return pts_ns + self._offset_ns
