"""The two queues of a received track, with a bound: what aiortc's own let grow without end."""

import asyncio
import queue
from typing import Any

DECODER_FRAMES = 30
TRACK_FRAMES = 4


class DecoderQueue(queue.Queue[Any]):
    """Encoded frames on their way to the decoder's thread; made to be aiortc's `decoder_queue`.

    A frame cannot be left out alone, since those after it build on it: what waits is dropped
    together, and `offer` tells so. None, the end, overtakes all, so that the thread ends at once.
    """

    def __init__(self, bound: int = DECODER_FRAMES) -> None:
        super().__init__()
        self.dropped = 0
        self._bound = bound

    def offer(self, task: Any) -> bool:
        """Add a frame; False if it and those waiting had to be dropped."""
        if self.qsize() >= self._bound:
            self._drop()
            self.dropped += 1
            return False
        self.put(task)
        return True

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            self._drop()
        super().put(item, block, timeout)

    def _drop(self) -> None:
        with self.mutex:
            self.dropped += len(self.queue)
            self.queue.clear()


class TrackQueue(asyncio.Queue[Any]):
    """Decoded frames on their way to `track.recv()`; the oldest goes first.

    None, the end of the track, is never dropped: nothing follows it.
    """

    def __init__(self, bound: int = TRACK_FRAMES) -> None:
        super().__init__()
        self.dropped = 0
        self._bound = bound

    async def put(self, item: Any) -> None:
        while self.qsize() >= self._bound:
            self.get_nowait()
            self.dropped += 1
        self.put_nowait(item)
