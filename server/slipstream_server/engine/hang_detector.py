"""Whether an engine that has work hangs, judged by the messages sent and received. Pure.

The engine answers every request, so while an answer is pending some message must arrive within the
deadline: three times what a chunk usually takes, and at least two seconds. What a chunk usually
takes is the larger of the median of the last chunks and what the engine has measured itself at
start, as the number of steps may rise at any time.
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

MIN_DEADLINE_NS = 2 * NS_PER_S
_DEADLINE_FACTOR = 3  # times what a chunk usually takes
_MEDIAN_CHUNKS = 31
_OPENING, _CLOSING = -1, -2  # requests without a chunk number


class HangDetector:
    """Tracks the requests of one engine process that are not answered yet.

    Args:
        chunk_ms: the most that a chunk takes, as the engine measured it (`Ready.chunk_ms`).
        now_ns: when the engine began to serve.
    """

    def __init__(self, *, chunk_ms: float, now_ns: int) -> None:
        self._chunk_ns = chunk_ms * NS_PER_MS
        self._last_received_ns = now_ns
        self._sent_ns: dict[tuple[int, int], int] = {}  # pending, by lane and chunk
        self._took_ns: deque[int] = deque(maxlen=_MEDIAN_CHUNKS)

    @property
    def deadline_ns(self) -> float:
        """How long the engine may be silent while an answer is pending."""
        usual_ns = median(self._took_ns) if self._took_ns else 0
        return max(_DEADLINE_FACTOR * max(usual_ns, self._chunk_ns), MIN_DEADLINE_NS)

    def sent(self, message: msgspec.Struct, now_ns: int) -> None:
        """Note a message to the engine."""
        match message:
            case OpenStream(lane=lane):
                self._sent_ns[lane, _OPENING] = now_ns
            case ChunkIn(lane=lane, chunk=chunk):
                self._sent_ns[lane, chunk] = now_ns
            case CloseStream(lane=lane):
                self._sent_ns[lane, _CLOSING] = now_ns

    def received(self, message: msgspec.Struct, now_ns: int) -> None:
        """Note a message from the engine."""
        self._last_received_ns = now_ns
        match message:
            case ChunkOut(lane=lane, chunk=chunk):
                sent_ns = self._sent_ns.pop((lane, chunk), now_ns)
                self._took_ns.append(now_ns - sent_ns)
            case ChunkDropped(lane=lane, chunk=chunk):
                self._sent_ns.pop((lane, chunk), None)
            case StreamOpened(lane=lane) | StreamRefused(lane=lane):
                self._sent_ns.pop((lane, _OPENING), None)
            case StreamClosed(lane=lane):
                self._forget(lane, keep_closing=False)
            case Failed(lane=lane):
                self._forget(lane, keep_closing=True)

    def ignore_gap(self, now_ns: int) -> None:
        """The server itself did not run until now, so the silence before says nothing."""
        self._last_received_ns = now_ns

    def verdict(self, now_ns: int) -> str | None:
        """A sentence that says since when the engine hangs; None while it does not."""
        if not self._sent_ns:
            return None
        silent_ns = now_ns - max(self._last_received_ns, min(self._sent_ns.values()))
        if silent_ns <= self.deadline_ns:
            return None
        return (
            f"the engine hangs: {len(self._sent_ns)} answers are due and it has sent nothing for "
            f"{silent_ns / NS_PER_S:.1f} s, {self.deadline_ns / NS_PER_S:.1f} s are allowed"
        )

    def _forget(self, lane: int, *, keep_closing: bool) -> None:
        """Nothing of this lane is pending any more, except where `keep_closing` its closing."""
        self._sent_ns = {
            (sent_lane, chunk): sent_ns
            for (sent_lane, chunk), sent_ns in self._sent_ns.items()
            if sent_lane != lane or (keep_closing and chunk == _CLOSING)
        }
