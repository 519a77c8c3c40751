"""The times of a film's frames where the file has none, has them in disorder, or begins anew. Pure.

Containers differ in what they store: MP4 and Matroska the time of showing, AVI only the order of
decoding, a bare stream of H.264 or H.265 nothing at all. Broadcasts begin at any time of day, and
a recording that was cut or joined jumps.
"""

import heapq
import math
from fractions import Fraction

JUMP_BACK_S = 1.0  # a step back of this much is a new clock, of less a disorder
JUMP_AHEAD_S = 10.0  # likewise ahead, where clocks begin anywhere; elsewhere it is a gap


class Clock:
    """One time line for all tracks of a file whose clock may be set back, as in joined recordings.

    The first track that sees a jump decides how far it is, the others follow it, so sound and
    pictures stay together.

    Args:
        begin_s: time in the file that becomes 0.
        may_leap: a jump ahead is a new clock, too: one that was set back looks like that where
            the file's counter wraps around.
    """

    def __init__(self, begin_s: Fraction = Fraction(0), *, may_leap: bool = False) -> None:
        self.offsets_s = [-begin_s]
        self.ahead_s = JUMP_AHEAD_S if may_leap else math.inf


class TrackClock:
    """One track's place on a `Clock`.

    Args:
        unit_s: seconds to a unit of the track's times.
    """

    def __init__(self, clock: Clock, unit_s: Fraction) -> None:
        self._clock = clock
        self._unit_s = unit_s
        self._epoch = 0
        self.last: int | None = None

    def place(self, time: int, *, step: int) -> int:
        """A time of the file on the common time line, in units of the track.

        Args:
            step: to the next time, where the clock jumps.
        """
        placed = time + self._offset()
        if self.last is not None and self._is_jump(placed - self.last):
            self._epoch += 1
            if self._epoch == len(self._clock.offsets_s):
                self._clock.offsets_s.append((self.last + step - time) * self._unit_s)
            placed = time + self._offset()
        self.last = placed
        return placed

    def _is_jump(self, change: int) -> bool:
        change_s = change * self._unit_s
        return change_s <= -JUMP_BACK_S or change_s >= self._clock.ahead_s

    def _offset(self) -> int:
        return round(self._clock.offsets_s[self._epoch] / self._unit_s)


class FilmTimes:
    """Gives every frame a time after that of the frame before it.

    Args:
        track: of the video.
        step_units: from one frame to the next, in units of the track.
        by_order: the file stores no times of showing: the nth frame that is shown has the nth
            smallest time of decoding, or follows by one step where there is none.
    """

    def __init__(self, track: TrackClock, *, step_units: Fraction, by_order: bool) -> None:
        self._track = track
        self._step_units = step_units
        self._by_order = by_order
        self._waiting: list[int] = []
        self._counted_from = Fraction(0)
        self._counted = 0
        self._last: int | None = None

    def packet(self, decode_time: int | None) -> None:
        """Note the packet of a frame that will come."""
        if self._by_order and decode_time is not None:
            heapq.heappush(self._waiting, decode_time)

    def lost(self, decode_time: int | None) -> None:
        """Note that no frame comes of a packet."""
        if decode_time in self._waiting:
            self._waiting.remove(decode_time)
            heapq.heapify(self._waiting)

    def frame(self, time: int | None) -> int | None:
        """The next frame's time; None for a frame that belongs before the last one.

        Args:
            time: of showing, as the file has it.
        """
        if self._by_order:
            time = heapq.heappop(self._waiting) if self._waiting else None
        if time is None:
            placed = self._counted_time()
        else:
            placed = self._track.place(time, step=max(1, round(self._step_units)))
            if self._last is not None and placed <= self._last:
                return None
            self._counted_from, self._counted = Fraction(placed), 0
        self._last = placed
        return placed

    def _counted_time(self) -> int:
        if self._last is None:
            return round(self._counted_from)
        self._counted += 1
        counted = round(self._counted_from + self._counted * self._step_units)
        return max(counted, self._last + 1)
