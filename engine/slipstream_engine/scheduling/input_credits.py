"""Whose next chunk is asked for, and when. Pure.

A chunk that waits here grows old, while frames that wait at the camera give way to newer ones. So
an input slot that is needed no more is not given back at once, but when the device is about to have
nothing to begin: to the stream served longest ago, one at a time. Where the device has nothing to
do at all everybody is asked, for a slow camera must not keep a fast one waiting.

    turns.wait(SlotFree(...))  # this slot is done with
    turns.due(is_last=...)  # before a pass, `is_last` where nothing is left to do after it
    turns.all_due()  # where there is nothing to run
"""

from collections import deque

from slipstream_protocol.messages import SlotFree


class CreditQueue:
    """The slots to be given back, in order."""

    def __init__(self) -> None:
        self._waiting: deque[SlotFree] = deque()

    def wait(self, slot: SlotFree) -> None:
        """A slot may be filled anew when its turn comes."""
        self._waiting.append(slot)

    def leave(self, lane: int) -> None:
        """A stream is closed; its slots are the server's anyway."""
        self._waiting = deque(slot for slot in self._waiting if slot.lane != lane)

    def due(self, *, is_last: bool) -> list[SlotFree]:
        """What to give back before a pass."""
        return [self._waiting.popleft()] if is_last and self._waiting else []

    def all_due(self) -> list[SlotFree]:
        """What to give back while there is nothing to run: all."""
        due, self._waiting = list(self._waiting), deque()
        return due
