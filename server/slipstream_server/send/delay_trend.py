"""Whether packets take longer and longer, which shows that a queue grows on the link. Pure.

Packets that left within 5 ms are a group. How much longer each group took than the one before adds
up to a curve of delays; a straight line through its last points has a slope above zero while a
queue grows, whatever the delay itself is. The threshold follows the slope slowly, so that the
queues of other flows do not starve this one. Sources: draft-ietf-rmcat-gcc-02, section 5.3 (groups)
and 5.4 (detector, adaptive threshold); the line in place of the draft's Kalman filter is that of
Carlucci et al., "Congestion Control for Web Real-Time Communication", IEEE/ACM ToN 25(5), 2017.
"""

from collections import deque
from enum import Enum

from slipstream_protocol.clock import NS_PER_MS

_BURST_NS = 5 * NS_PER_MS
_POINTS = 20
_SMOOTHING = 0.9
_GAIN = 4.0
_COUNT_MAX = 60
_THRESHOLD = 12.5  # ms, at first
_THRESHOLD_MIN, _THRESHOLD_MAX = 6.0, 600.0
_RISES, _FALLS = 0.0087, 0.039  # shares of the distance that the threshold goes in a millisecond
_OUTLIER = 15.0  # further above the threshold: a spike, which moves it no more
_STEP_MAX_MS = 100.0
_LASTS_NS = 10 * NS_PER_MS
_PAUSE_NS = 3000 * NS_PER_MS


class LinkUse(Enum):
    """What the delays say of the link."""

    NORMAL = "normal"
    OVERUSE = "overuse"  # a queue grows
    UNDERUSE = "underuse"  # a queue empties


class DelayTrend:
    """Takes packets by their arrival; `use` is the verdict."""

    def __init__(self) -> None:
        self.use = LinkUse.NORMAL
        self._threshold = _THRESHOLD
        self._reset()

    def _reset(self) -> None:
        self._group: tuple[int, int, int] | None = None  # first sent, last sent, last arrived
        self._before: tuple[int, int] | None = None  # last sent, last arrived of the group before
        self._points: deque[tuple[float, float]] = deque(maxlen=_POINTS)
        self._delay_ms = self._smoothed_ms = self._trend = 0.0
        self._groups = 0
        self._over_since_ns: int | None = None
        self._zero_ns = 0
        self.use = LinkUse.NORMAL

    def add(self, sent_ns: int, arrived_ns: int) -> None:
        """A packet has arrived; both times have zeros of their own."""
        if self._group is None:
            self._zero_ns = arrived_ns
            self._group = sent_ns, sent_ns, arrived_ns
            return
        first_ns, last_ns, ended_ns = self._group
        if abs(arrived_ns - ended_ns) > _PAUSE_NS:
            self._reset()
            self._group = sent_ns, sent_ns, arrived_ns
            self._zero_ns = arrived_ns
        elif sent_ns < first_ns:
            return  # overtaken: it belongs to a group that is complete
        elif sent_ns - first_ns <= _BURST_NS:
            self._group = first_ns, max(last_ns, sent_ns), max(ended_ns, arrived_ns)
        else:
            if self._before is not None:
                before_sent_ns, before_arrived_ns = self._before
                longer_ns = (ended_ns - before_arrived_ns) - (last_ns - before_sent_ns)
                self._on_group(longer_ns / NS_PER_MS, ended_ns, ended_ns - before_arrived_ns)
            self._before = last_ns, ended_ns
            self._group = sent_ns, sent_ns, arrived_ns

    def _on_group(self, longer_ms: float, ended_ns: int, took_ns: int) -> None:
        self._groups += 1
        self._delay_ms += longer_ms
        self._smoothed_ms += (1 - _SMOOTHING) * (self._delay_ms - self._smoothed_ms)
        self._points.append(((ended_ns - self._zero_ns) / NS_PER_MS, self._smoothed_ms))
        if len(self._points) < _POINTS // 2:
            return
        before, self._trend = self._trend, self._slope() * min(self._groups, _COUNT_MAX) * _GAIN
        self._judge(before, ended_ns)
        self._follow(min(took_ns / NS_PER_MS, _STEP_MAX_MS))

    def _slope(self) -> float:
        """By least squares."""
        count = len(self._points)
        mean_x = sum(x for x, _ in self._points) / count
        mean_y = sum(y for _, y in self._points) / count
        spread = sum((x - mean_x) ** 2 for x, _ in self._points)
        if not spread:
            return 0.0
        return sum((x - mean_x) * (y - mean_y) for x, y in self._points) / spread

    def _judge(self, before: float, now_ns: int) -> None:
        if self._trend > self._threshold:
            if self._over_since_ns is None:
                self._over_since_ns = now_ns
            elif now_ns - self._over_since_ns >= _LASTS_NS and self._trend >= before:
                self.use = LinkUse.OVERUSE
            return
        self._over_since_ns = None
        self.use = LinkUse.UNDERUSE if self._trend < -self._threshold else LinkUse.NORMAL

    def _follow(self, step_ms: float) -> None:
        above = abs(self._trend) - self._threshold
        if above > _OUTLIER:
            return
        share = min(1.0, (_RISES if above > 0 else _FALLS) * step_ms)
        moved = self._threshold + share * above
        self._threshold = min(_THRESHOLD_MAX, max(_THRESHOLD_MIN, moved))
