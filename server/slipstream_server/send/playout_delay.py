"""How long a viewer is to keep each frame before it shows it. Pure.

Nothing, on a good link: a frame is shown as it comes. Where packets are lost, those that are sent
again come a round trip later, and with them all the frames that wait: the viewer would show the
last of each such burst only. So for as long as losses last it keeps frames for most of a
round trip and the time that it takes to notice. Not where a queue overflows: those losses end with
the queue, as the bitrate falls. The wire form is playout-delay's,
http://www.webrtc.org/experiments/rtp-hdrext/playout-delay: least and most, 12 bits each, in 10 ms.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_LOSSY = 0.005  # share of the packets, from which on frames are kept
_LOST_MIN = 2  # one is chance
_WINDOW_PACKETS = 150  # of fewer, two lost by chance would be a large share
_WINDOW_NS = 3 * NS_PER_S  # unless it takes so long until they are sent
_LASTS_NS = 6 * NS_PER_S  # after the last losses: each change shifts the picture once
_NOTICE_NS = 10 * NS_PER_MS  # until the viewer asks for a packet again
# The viewer shows a frame so long after it would have come by the mean of those before, among which
# are some that came late: less than a round trip is enough, more of it where more is lost.
_TRIPS = 0.5
_TRIPS_BY_SHARE = 5.0
_MOST_NS = 200 * NS_PER_MS
_UNIT_NS = 10 * NS_PER_MS
_BITS = 12


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of the whole call, by a report."""

    lost: int
    highest_sequence: int
    at_ns: int


class PlayoutDelay:
    """The delay of one viewer, by its reports on what it has lost."""

    def __init__(self) -> None:
        self._before: _Counts | None = None
        self._least_rtt_ns: int | None = None  # one without a queue
        self._delay_ns = 0
        self._until_ns = 0

    def on_report(
        self,
        *,
        packets_lost: int,
        highest_sequence: int,
        rtt_ns: int,
        is_queueing: bool,
        now_ns: int,
    ) -> None:
        """A reception report: both counts are of the whole call (RFC 3550, section 6.4.1).

        Args:
            rtt_ns: 0 while it is not known.
            is_queueing: whether a queue has grown on the link of late.
        """
        if rtt_ns:
            self._least_rtt_ns = min(rtt_ns, self._least_rtt_ns or rtt_ns)
        counts, before = _Counts(packets_lost, highest_sequence, now_ns), self._before
        if before is None or highest_sequence < before.highest_sequence:
            self._before = counts
            return
        expected = highest_sequence - before.highest_sequence
        if expected < _WINDOW_PACKETS and now_ns - before.at_ns < _WINDOW_NS:
            return
        self._before = counts
        lost = packets_lost - before.lost
        if expected and not is_queueing and lost >= _LOST_MIN and lost > _LOSSY * expected:
            trips = min(1.0, _TRIPS + _TRIPS_BY_SHARE * lost / expected)
            wanted_ns = min(_MOST_NS, round(trips * (self._least_rtt_ns or 0)) + _NOTICE_NS)
            is_kept = now_ns < self._until_ns
            self._delay_ns = max(wanted_ns, self._delay_ns) if is_kept else wanted_ns
            self._until_ns = now_ns + _LASTS_NS

    def packed(self, now_ns: int) -> bytes:
        """The extension's three bytes. Least and most are the same: a viewer left to choose would
        keep frames for longer than that."""
        if now_ns >= self._until_ns:
            return bytes(3)
        units = -(-self._delay_ns // _UNIT_NS)
        return (units << _BITS | units).to_bytes(3, "big")
