"""The two queues of a received track, with a bound; aiortc's own have none."""

import asyncio
import queue
from typing import Any

DECODER_FRAMES = 30
TRACK_FRAMES = 4


class DecoderQueue(queue.Queue[Any]):
    """Encoded frames for the decoder's thread, in the place of aiortc's `__decoder_queue`.

    A frame cannot be dropped alone, since the later ones build on it: a full queue is dropped as a
    whole, and `offer` returns False. None, the end, overtakes all frames, so that the thread ends
    at once.

    Args:
        max_frames: that may wait.
    """

    def __init__(self, max_frames: int = DECODER_FRAMES) -> None:
        super().__init__()
        self.dropped = 0
        self._max_frames = max_frames

    def offer(self, task: Any) -> bool:
        """Add a frame; False if the queue was full, and all of it and the frame were dropped."""
        if self.qsize() >= self._max_frames:
            self._drop_all()
            self.dropped += 1
            return False
        self.put(task)
        return True

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            self._drop_all()
        super().put(item, block, timeout)

    def _drop_all(self) -> None:
        with self.mutex:
            self.dropped += len(self.queue)
            self.queue.clear()


class TrackQueue(asyncio.Queue[Any]):
    """Decoded frames for `track.recv()`; where too many wait, the oldest is dropped.

    None, the end of the track, is never dropped: nothing follows it.

    Args:
        max_frames: that may wait.
    """

    def __init__(self, max_frames: int = TRACK_FRAMES) -> None:
        super().__init__()
        self.dropped = 0
        self._max_frames = max_frames

    async def put(self, item: Any) -> None:
        while self.qsize() >= self._max_frames:
            self.get_nowait()
            self.dropped += 1
        self.put_nowait(item)
