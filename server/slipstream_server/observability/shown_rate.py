"""Which share of the frames that are due is shown. Pure: times are arguments.

Due is every frame of the camera, but no more of them than the model makes with the device to
itself, as it is set now: what could be shown, whatever else the device has to do. What a stream is
owed beside others may be less (`slipstream_protocol/owed_rate.py`). Without that measure a server
looks healthy that skips three frames of four: the fourth is young, and in time.
"""

from collections import deque

from slipstream_protocol.clock import NS_PER_S

_PERIOD_NS = NS_PER_S
_WINDOW_PERIODS = 10
_UNDER_WAY_FRAMES = 8.0  # two chunks: due already, and perhaps still to be shown


class ShownRate:
    """Counts by the second, over the last ten of them.

    Nothing is due before the first frame is shown, and again in a pause until the next one is: what
    a start takes is another measure (time to first frame).

    Attributes:
        model_fps: frames a second that the model makes alone; None where that is not known.
    """

    def __init__(self) -> None:
        self.model_fps: float | None = None
        self._is_due = False
        self._period_ends_ns = 0
        self._camera_frames = 0
        self._shown_frames = 0
        self._owed = self._ahead = 0.0
        self._periods: deque[tuple[float, float]] = deque(maxlen=_WINDOW_PERIODS)  # good, bad
        self._good = self._bad = 0.0

    def on_camera_frame(self, now_ns: int) -> None:
        """A frame of the camera has come."""
        if self._is_due:
            self._advance(now_ns)
            self._camera_frames += 1

    def on_shown(self, now_ns: int) -> None:
        """A new frame goes out to be shown."""
        if not self._is_due:
            self._is_due = True
            self._period_ends_ns = now_ns + _PERIOD_NS
        self._advance(now_ns)
        self._shown_frames += 1

    def pause(self) -> None:
        """No frame is due until the next one is shown."""
        self._is_due = False
        self._camera_frames = self._shown_frames = 0
        self._owed = self._ahead = 0.0

    def ratio(self, now_ns: int) -> float | None:
        """Of the frames due in the last ten seconds; None where none was."""
        self._advance(now_ns)
        good = sum(period[0] for period in self._periods)
        due = good + sum(period[1] for period in self._periods)
        return good / due if due else None

    def take(self, now_ns: int) -> tuple[float, float]:
        """Frames shown, and frames due that were not, since the last call."""
        self._advance(now_ns)
        taken = self._good, self._bad
        self._good = self._bad = 0.0
        return taken

    def _advance(self, now_ns: int) -> None:
        """End the periods that are over; what came in a gap without a call is in the first one."""
        for _ in range(_WINDOW_PERIODS):
            if not self._is_due or now_ns < self._period_ends_ns:
                return
            self._end_period()
            self._period_ends_ns += _PERIOD_NS
        if now_ns >= self._period_ends_ns:  # the clock has jumped: all of the window is over
            self._period_ends_ns = now_ns + _PERIOD_NS

    def _end_period(self) -> None:
        due = float(self._camera_frames)
        if self.model_fps is not None:
            due = min(due, self.model_fps * _PERIOD_NS / NS_PER_S)
        self._owed += due
        shown = self._shown_frames + self._ahead
        good = min(self._owed, shown)
        self._ahead = min(shown - good, _UNDER_WAY_FRAMES)
        self._owed -= good
        bad = max(0.0, self._owed - _UNDER_WAY_FRAMES)
        self._owed -= bad
        self._camera_frames = self._shown_frames = 0
        self._periods.append((good, bad))
        self._good += good
        self._bad += bad
