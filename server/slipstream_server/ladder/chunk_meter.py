"""What the newest chunks of a stream say: readings for its ladder. Pure."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.levels import Level

from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.ladder.promise import Reading

_CHUNKS = 3  # of the newest, whose mean counts
_PLAYOUT_NS = 10 * NS_PER_MS  # from a chunk's arrival to its first picture, where none waits
_BREAK_NS = 3 * NS_PER_S  # between two chunks is a pause, not a period
_INTERVALS = 30  # of the camera's newest pictures


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One chunk's times."""

    period_ns: int
    work_ns: float
    denoise_ns: float


class ChunkMeter:
    """Keeps the newest chunks of one stream; every time is an argument."""

    def __init__(self) -> None:
        self.link_ns = 0  # from the server to the viewer's screen, as far as that is known
        self._chunks: deque[_Chunk] = deque(maxlen=_CHUNKS)
        self._received_ns: int | None = None
        self._captures_ns: deque[int] = deque(maxlen=_INTERVALS)

    def on_captured(self, captured_ns: int) -> None:
        """A picture of the camera has come."""
        newest_ns = self._captures_ns[-1] if self._captures_ns else captured_ns
        if not 0 <= captured_ns - newest_ns <= _BREAK_NS:
            self._captures_ns.clear()
        self._captures_ns.append(captured_ns)

    def on_chunk(self, first: GeneratedFrame, level: Level) -> Reading | None:
        """A chunk has come that begins with `first`; None while there is too little to say.

        Args:
            level: that it was generated at.
        """
        stamps = first.stamps
        before_ns, self._received_ns = self._received_ns, stamps.received_ns
        if before_ns is None or not 0 < stamps.received_ns - before_ns <= _BREAK_NS:
            self._chunks.clear()
            return None
        stages = stamps.stages
        work_ms = stages.encode_ms + stages.denoise_ms + stages.decode_ms
        self._chunks.append(
            _Chunk(
                period_ns=stamps.received_ns - before_ns,
                work_ns=work_ms * NS_PER_MS,
                denoise_ns=stages.denoise_ms * NS_PER_MS,
            )
        )
        return self._reading(stamps.received_ns - first.stands_for_ns + _PLAYOUT_NS, level)

    def on_waiting(self, stands_for_ns: int, level: Level, now_ns: int) -> Reading | None:
        """A chunk that stands for that moment has not come yet, or never will; as `on_chunk`."""
        return self._reading(now_ns - stands_for_ns, level)

    def restart(self) -> None:
        """What was measured is of another level."""
        self._chunks.clear()
        self._received_ns = None

    def _reading(self, age_ns: float, level: Level) -> Reading | None:
        camera_fps = self._camera_fps
        if not self._chunks or camera_fps is None:
            return None
        return Reading(
            level=level,
            age_ns=max(0.0, age_ns + self.link_ns),
            period_ns=self._mean(lambda chunk: chunk.period_ns),
            work_ns=self._mean(lambda chunk: chunk.work_ns),
            denoise_ns=self._mean(lambda chunk: chunk.denoise_ns),
            camera_fps=camera_fps,
        )

    def _mean(self, of: Callable[[_Chunk], float]) -> float:
        return sum(map(of, self._chunks)) / len(self._chunks)

    @property
    def _camera_fps(self) -> float | None:
        span_ns = self._captures_ns[-1] - self._captures_ns[0] if self._captures_ns else 0
        return (len(self._captures_ns) - 1) * NS_PER_S / span_ns if span_ns > 0 else None
