"""What the link to a viewer carries, by the delays of what was sent over it. Pure.

While delays grow, or much is lost, the target falls below what was delivered; else it rises, as
long as what is sent comes near it: a still picture needs little, which says nothing of the link,
and the target stays where it is. Below the rate that a link is begun with, and wherever more would
be used, probes find out: packets sent again, at twice the target for some hundredths of a second.
One that gets through raises the target at once; each that does not makes the next come later. After
draft-ietf-rmcat-gcc-02, section 5.5; probes as in section 4 of the paper that `delay_trend.py`
names.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_server.send.delay_trend import DelayTrend, LinkUse
from slipstream_server.send.send_history import ArrivedPacket

NEAR_SHARE = 0.65  # what is sent comes near a rate from this share of it on
_CUT = 0.85
_CUT_EVERY_NS = 300 * NS_PER_MS
_GROWTH_PER_S = 1.08
_LOST_SHARE = 0.10  # a full queue: its delay no longer grows
_LOST_OF = 20
_DELIVERED_NS = 1 * NS_PER_S  # arrivals kept, to know what was delivered of late
_DELIVERED_SPAN_NS = 50 * NS_PER_MS  # the shortest time that a rate is taken over
_QUEUEING_NS = 5 * NS_PER_S  # for so long a queue that grew may still overflow
_QUIET_NS = 1 * NS_PER_S  # from a cut to the next probe
_PROBE_FACTOR = 2.0
_PROBE_BYTES = 8000
_PROBE_SPAN_NS = 15 * NS_PER_MS
_PROBE_FIRST_NS = 500 * NS_PER_MS
_PROBE_LAST_NS = 10 * NS_PER_S
_PROBE_BACK_OFF = 1.5
_PROBE_GIVEN_UP_NS = 2 * NS_PER_S
_PROBE_ARRIVED_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Packets to be sent beyond what is due.

    Args:
        number: told them apart.
        bitrate_bps: at which they are to leave.
        size_bytes: of all of them.
    """

    number: int
    bitrate_bps: int
    size_bytes: int


class LinkEstimator:
    """The estimate of one link.

    Args:
        start_bps: believed at first.
        floor_bps, ceiling_bps: the bounds of the target.
    """

    def __init__(self, *, start_bps: int, floor_bps: int, ceiling_bps: int) -> None:
        self.target_bps = float(start_bps)
        self.probed_bps = 0.0  # the last rate that a probe has got through with
        self._start_bps = start_bps
        self._floor_bps, self._ceiling_bps = floor_bps, ceiling_bps
        self._trend = DelayTrend()
        self._arrivals: deque[ArrivedPacket] = deque()
        self._told = self._lost = 0  # packets since losses were judged last
        self._cut_ns: int | None = None
        self._overused_ns: int | None = None
        self._updated_ns: int | None = None
        self._probe: Probe | None = None
        self._probe_arrivals: list[ArrivedPacket] = []
        self._probe_ns = 0  # when the probe under way began, or the next may
        self._probe_wait_ns = _PROBE_FIRST_NS
        self._probes = 0

    def on_arrivals(
        self, packets: Sequence[ArrivedPacket], *, missing: int, sent_bps: float, now_ns: int
    ) -> None:
        """A report has come.

        Args:
            packets: that it tells of, by their arrival.
            missing: how many it says have not come.
            sent_bps: what was sent over the last second.
        """
        self._told += len(packets) + missing
        self._lost += missing
        for packet in packets:
            if packet.sent.probe is None:
                self._trend.add(packet.sent.sent_ns, packet.arrived_ns)
            elif self._probe is not None and packet.sent.probe == self._probe.number:
                self._probe_arrivals.append(packet)
            self._arrivals.append(packet)
        while (
            self._arrivals
            and self._arrivals[-1].arrived_ns - self._arrivals[0].arrived_ns > _DELIVERED_NS
        ):
            self._arrivals.popleft()
        self._judge_probe(now_ns)
        self._update(sent_bps, now_ns)

    def is_queueing(self, now_ns: int) -> bool:
        """Whether a queue has grown on the link of late."""
        return self._overused_ns is not None and now_ns - self._overused_ns < _QUEUEING_NS

    def next_probe(self, sent_bps: float, now_ns: int) -> Probe | None:
        """The probe to be sent now; None where none is due."""
        if self._probe is not None or now_ns < self._probe_ns or self._updated_ns is None:
            return None
        is_near = sent_bps >= NEAR_SHARE * self.target_bps
        goal_bps = self._ceiling_bps if is_near else min(self._start_bps, self._ceiling_bps)
        is_quiet = self._cut_ns is None or now_ns - self._cut_ns >= _QUIET_NS
        if self.target_bps >= goal_bps or not is_quiet or self._trend.use is not LinkUse.NORMAL:
            return None
        bitrate_bps = int(min(_PROBE_FACTOR * self.target_bps, 1.1 * self._ceiling_bps))
        size_bytes = max(_PROBE_BYTES, bitrate_bps * _PROBE_SPAN_NS // (8 * NS_PER_S))
        self._probes += 1
        self._probe = Probe(number=self._probes, bitrate_bps=bitrate_bps, size_bytes=size_bytes)
        self._probe_arrivals = []
        self._probe_ns = now_ns
        return self._probe

    def _judge_probe(self, now_ns: int) -> None:
        if self._probe is None:
            return
        arrived_bytes = sum(packet.sent.size_bytes for packet in self._probe_arrivals)
        is_complete = arrived_bytes >= self._probe.size_bytes
        if not is_complete and now_ns - self._probe_ns < _PROBE_GIVEN_UP_NS:
            return
        found_bps = 0.0
        if arrived_bytes >= _PROBE_ARRIVED_SHARE * self._probe.size_bytes:
            found_bps = _rate_of(self._probe_arrivals)
        if found_bps > self.target_bps and self._trend.use is not LinkUse.OVERUSE:
            self.probed_bps = self.target_bps = min(found_bps, float(self._ceiling_bps))
            self._probe_wait_ns = _PROBE_FIRST_NS
        else:
            self._probe_wait_ns = min(_PROBE_LAST_NS, int(self._probe_wait_ns * _PROBE_BACK_OFF))
        self._probe, self._probe_ns = None, now_ns + self._probe_wait_ns

    def _update(self, sent_bps: float, now_ns: int) -> None:
        since_ns = 0 if self._updated_ns is None else now_ns - self._updated_ns
        self._updated_ns = now_ns
        if self._trend.use is LinkUse.OVERUSE:
            self._overused_ns = now_ns
        if self._trend.use is LinkUse.OVERUSE or self._loses():
            self._cut(now_ns)
        elif self._trend.use is LinkUse.NORMAL and sent_bps >= NEAR_SHARE * self.target_bps:
            growth = _GROWTH_PER_S ** min(since_ns / NS_PER_S, 1.0)
            self.target_bps = min(float(self._ceiling_bps), self.target_bps * growth)

    def _loses(self) -> bool:
        if self._told < _LOST_OF:
            return False
        share = self._lost / self._told
        self._told = self._lost = 0
        return share > _LOST_SHARE

    def _cut(self, now_ns: int) -> None:
        if self._cut_ns is not None and now_ns - self._cut_ns < _CUT_EVERY_NS:
            return
        delivered_bps = self._delivered_bps()
        self._arrivals.clear()  # the next cut is by what is delivered after this one
        self._cut_ns = now_ns
        self.target_bps = max(
            float(self._floor_bps), _CUT * min(self.target_bps, delivered_bps or self.target_bps)
        )

    def _delivered_bps(self) -> float:
        """The highest rate of the last second, as a still picture's mean says nothing of the link;
        0 where too little has come."""
        packets = list(self._arrivals)
        highest, size_bytes, first = 0.0, 0, 0
        for last in range(1, len(packets)):
            size_bytes += packets[last].sent.size_bytes
            while packets[last].arrived_ns - packets[first + 1].arrived_ns >= _DELIVERED_SPAN_NS:
                first += 1
                size_bytes -= packets[first].sent.size_bytes
            span_ns = packets[last].arrived_ns - packets[first].arrived_ns
            if span_ns >= _DELIVERED_SPAN_NS:
                highest = max(highest, 8 * size_bytes * NS_PER_S / span_ns)
        return highest


def _rate_of(packets: list[ArrivedPacket]) -> float:
    """The rate in bit/s that packets were sent and have arrived with, whichever is lower."""
    by_sending = sorted(packets, key=lambda packet: packet.sent.sent_ns)
    sent_ns = by_sending[-1].sent.sent_ns - by_sending[0].sent.sent_ns
    took_ns = max(packet.arrived_ns for packet in packets) - min(
        packet.arrived_ns for packet in packets
    )
    size_bits = 8 * sum(packet.sent.size_bytes for packet in by_sending[1:])
    if sent_ns <= 0:
        return 0.0
    return size_bits * NS_PER_S / max(sent_ns, took_ns)
