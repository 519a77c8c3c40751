"""Progress of a long job: a bar on a terminal, a few lines in a log."""

import sys
from typing import TextIO

BAR_COLUMNS = 30
LOG_LINES = 10


class Progress:
    """Args:
    total: of what is counted.
    unit: what is counted, in the plural.
    now_s: when the job began.
    """

    def __init__(
        self, *, total: int, unit: str, now_s: float, stream: TextIO | None = None
    ) -> None:
        self._total = total
        self._unit = unit
        self._began_s = now_s
        self._stream = stream or sys.stderr
        self._lines = 0

    def show(self, done: int, *, now_s: float) -> None:
        """Report that `done` of the total are done."""
        if self._stream.isatty():
            end = "\n" if done >= self._total else ""
            self._stream.write(f"\r{self._bar(done)} {self._text(done, now_s)}\x1b[K{end}")
        elif done * LOG_LINES // self._total > self._lines:
            self._lines = done * LOG_LINES // self._total
            self._stream.write(f"{self._text(done, now_s)}\n")
        self._stream.flush()

    def _bar(self, done: int) -> str:
        full = BAR_COLUMNS * done // self._total
        return f"[{'#' * full}{'.' * (BAR_COLUMNS - full)}]"

    def _text(self, done: int, now_s: float) -> str:
        rate_hz = done / max(now_s - self._began_s, 1e-9)
        left_s = round((self._total - done) / rate_hz) if done else 0
        return (
            f"{100 * done // self._total} % {done}/{self._total} {self._unit}, "
            f"{rate_hz:.1f} a second, {left_s // 60}:{left_s % 60:02} left"
        )
