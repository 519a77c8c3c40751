"""Whether an engine that has work still lives: by what it is told and what it says. Pure.

Everything asked of an engine is answered, so while an answer is due something must be heard: some
chunk's end within three times what a chunk usually takes, and never sooner than two seconds. What a
chunk takes is the median of the last ones, or what the engine has measured of itself, whichever is
more: steps may be added at any time.
"""

from collections import deque
from statistics import median

import msgspec
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.messages import (
    ChunkDropped,
    ChunkIn,
    ChunkOut,
    CloseStream,
    Failed,
    OpenStream,
    StreamClosed,
    StreamOpened,
    StreamRefused,
)

LEAST_NS = 2 * NS_PER_S
_PATIENCE = 3  # times what a chunk usually takes
_REMEMBERED = 31
_OPENING, _CLOSING = -1, -2  # where a chunk has its number


class HangDetector:
    """See the module.

    Args:
        chunk_ms: the most that a chunk takes by the engine's own word.
        now_ns: when it has begun to serve.
    """

    def __init__(self, *, chunk_ms: float, now_ns: int) -> None:
        self._chunk_ns = chunk_ms * NS_PER_MS
        self._heard_ns = now_ns
        self._due: dict[tuple[int, int], int] = {}
        self._took_ns: deque[int] = deque(maxlen=_REMEMBERED)

    @property
    def deadline_ns(self) -> float:
        """How long it may be silent while an answer is due."""
        usual_ns = median(self._took_ns) if self._took_ns else 0
        return max(_PATIENCE * max(usual_ns, self._chunk_ns), LEAST_NS)

    def told(self, message: msgspec.Struct, now_ns: int) -> None:
        """The engine has been sent this."""
        match message:
            case OpenStream(lane=lane):
                self._due[lane, _OPENING] = now_ns
            case ChunkIn(lane=lane, chunk=chunk):
                self._due[lane, chunk] = now_ns
            case CloseStream(lane=lane):
                self._due[lane, _CLOSING] = now_ns

    def heard(self, message: msgspec.Struct, now_ns: int) -> None:
        """The engine has said this."""
        self._heard_ns = now_ns
        match message:
            case ChunkOut(lane=lane, chunk=chunk):
                since_ns = self._due.pop((lane, chunk), now_ns)
                self._took_ns.append(now_ns - since_ns)
            case ChunkDropped(lane=lane, chunk=chunk):
                self._due.pop((lane, chunk), None)
            case StreamOpened(lane=lane) | StreamRefused(lane=lane):
                self._due.pop((lane, _OPENING), None)
            case StreamClosed(lane=lane):
                self._due = {key: since for key, since in self._due.items() if key[0] != lane}
            case Failed(lane=lane):
                self._due = {
                    (at, what): since
                    for (at, what), since in self._due.items()
                    if at != lane or what == _CLOSING
                }

    def excuse(self, now_ns: int) -> None:
        """We have been asleep ourselves, so its silence until now says nothing."""
        self._heard_ns = now_ns

    def silence(self, now_ns: int) -> str | None:
        """What to say of an engine that hangs; None of one that lives."""
        if not self._due:
            return None
        silent_ns = now_ns - max(self._heard_ns, min(self._due.values()))
        if silent_ns <= self.deadline_ns:
            return None
        return (
            f"the engine hangs: {len(self._due)} answers are due and it has said nothing for "
            f"{silent_ns / NS_PER_S:.1f} s, {self.deadline_ns / NS_PER_S:.1f} s are allowed"
        )
