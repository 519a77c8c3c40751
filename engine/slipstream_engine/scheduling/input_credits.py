"""Credits for input slots that are granted late, so that frames stay fresh. Pure.

A chunk that waits on the device grows old, while frames that wait at the camera give way to newer
ones. So an input slot that is no longer needed is not given back at once, but when the device is
about to run out of work: one at a time, to the stream served longest ago. Where the device has no
work at all every credit is granted, for a slow camera must not keep a fast one waiting.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """An input slot that its stream may fill with its next chunk."""

    stream: int
    slot: int


class CreditQueue:
    """The credits not granted yet, in order."""

    def __init__(self) -> None:
        self._credits: deque[Credit] = deque()

    def add(self, credit: Credit) -> None:
        """Keep a credit until it is granted."""
        self._credits.append(credit)

    def remove_stream(self, stream: int) -> None:
        """Forget the credits of a stream that is closed."""
        self._credits = deque(credit for credit in self._credits if credit.stream != stream)

    def grant_one(self) -> list[Credit]:
        """The oldest credit, if there is one."""
        return [self._credits.popleft()] if self._credits else []

    def grant_all(self) -> list[Credit]:
        """All credits, the oldest first."""
        granted, self._credits = list(self._credits), deque()
        return granted
