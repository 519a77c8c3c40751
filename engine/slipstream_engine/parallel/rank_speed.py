"""How slow a rank is, by what it took for its last chunks, and how sure that is. Pure.

The median of a window is what a rank takes now: one chunk that was disturbed does not move it, and
a rank that has become slower is seen after half a window.
"""

import math
from collections import deque
from statistics import median

WINDOW_CHUNKS = 15
LEAST_CHUNKS = 5  # new ones, before anything is concluded
_SIGMA_PER_MAD = 1.4826  # standard over median absolute deviation, of a normal distribution
_MEDIAN_LOSS = 1.2533  # standard error of a median over that of a mean


class MeasuredTime:
    """The time of one part of a chunk on one rank."""

    def __init__(self) -> None:
        self._window_ms: deque[float] = deque(maxlen=WINDOW_CHUNKS)

    @property
    def middle_ms(self) -> float:
        """The median; 0 before the first chunk."""
        return median(self._window_ms) if self._window_ms else 0.0

    @property
    def error_ms(self) -> float:
        """Standard error of the median."""
        if not self._window_ms:
            return 0.0
        middle_ms = self.middle_ms
        deviation_ms = median(abs(time_ms - middle_ms) for time_ms in self._window_ms)
        chunks = float(len(self._window_ms))
        return deviation_ms * _SIGMA_PER_MAD * _MEDIAN_LOSS / math.sqrt(chunks)

    def observe(self, time_ms: float) -> None:
        """One chunk took so long."""
        self._window_ms.append(time_ms)

    def forget(self) -> None:
        """The part is another one from now on."""
        self._window_ms.clear()
