"""How long a step of an echo takes, as a file says: for tests that slow a running engine."""

from contextlib import suppress
from pathlib import Path

_LONGEST_MS = 10_000.0


class StepTime:
    """Reads the file anew each time.

    Args:
        file: holds one number, in milliseconds; whoever changes it may write in place.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it holds anything else, with what it should.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds = self._read_s()

    def seconds(self) -> float:
        """The newest; while the file holds no time, as when it is being written, the one before."""
        with suppress(OSError, ValueError):
            self._seconds = self._read_s()
        return self._seconds

    def _read_s(self) -> float:
        text = self._file.read_text(errors="replace").strip()
        try:
            step_ms = float(text)
        except ValueError:
            step_ms = -1.0
        if not 0 <= step_ms <= _LONGEST_MS:
            raise ValueError(
                f"{self._file} holds {text[:40]!r}, it must be the milliseconds of a step, from 0 "
                f"to {_LONGEST_MS:.0f}"
            )
        return step_ms / 1000
