"""What the newest chunks of a stream say: readings for its ladder. Pure."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.levels import Level

from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame
from slipstream_server.ladder.promise import Reading

_CHUNKS = 3  # of the newest, whose mean counts where they took about as long
_ALIKE = 1.6  # times as much work at the most, and this beside it:
_NOISE_NS = 20 * NS_PER_MS
_PLAYOUT_NS = 10 * NS_PER_MS  # from a chunk's arrival to its first picture, where none waits
_BREAK_NS = 3 * NS_PER_S  # between two chunks is a pause, not a period
_CAPTURES_MAX = 512  # more than any camera sends until its chunk is back


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One chunk's times.

    Args:
        period_ns: since the chunk before came back.
        filling_ns: since the chunk before was filled.
        captures: of the camera in that time.
        work_ns: of the device.
        denoise_ns: the part of it that the steps took.
    """

    period_ns: int
    filling_ns: int
    captures: int
    work_ns: float
    denoise_ns: float

    def is_like(self, other: "_Chunk") -> bool:
        """Whether the device was about as fast for both."""
        less, more = sorted((self.work_ns, other.work_ns))
        return more <= _ALIKE * less + _NOISE_NS


class ChunkMeter:
    """Keeps the newest chunks of one stream; every time is an argument.

    A mean of what chunks took before and after a device changed would be of neither: only those
    count that took about as long as the newest.

    The camera is measured over those chunks, too: one that stops or slows down makes them come
    further apart, and that is no fault of the device.
    """

    def __init__(self) -> None:
        self.link_ns = 0  # from the server to the viewer's screen, as far as that is known
        self._chunks: deque[_Chunk] = deque(maxlen=_CHUNKS)
        self._newest: ChunkStamps | None = None
        self._captures_ns: deque[int] = deque(maxlen=_CAPTURES_MAX)  # since that was filled

    def on_captured(self, captured_ns: int) -> None:
        """A picture of the camera has come."""
        self._captures_ns.append(captured_ns)

    def on_chunk(self, first: GeneratedFrame, level: Level) -> Reading | None:
        """A chunk has come that begins with `first`; None while there is too little to say.

        Args:
            level: that it was generated at.
        """
        stamps, before = first.stamps, self._newest
        self._newest = stamps
        captures = self._take_captures(stamps.chunked_ns)
        if before is None or not _follows(stamps, before):
            self._chunks.clear()
            return None
        stages = stamps.stages
        work_ms = stages.encode_ms + stages.denoise_ms + stages.decode_ms
        self._chunks.append(
            _Chunk(
                period_ns=stamps.received_ns - before.received_ns,
                filling_ns=stamps.chunked_ns - before.chunked_ns,
                captures=captures,
                work_ns=work_ms * NS_PER_MS,
                denoise_ns=stages.denoise_ms * NS_PER_MS,
            )
        )
        return self._reading(stamps.received_ns - first.stands_for_ns + _PLAYOUT_NS, level)

    def on_waiting(self, stands_for_ns: int, level: Level, now_ns: int) -> Reading | None:
        """A chunk that stands for that moment has not come yet, or never will; as `on_chunk`."""
        return self._reading(now_ns - stands_for_ns, level)

    def on_running(
        self, submitted_ns: int, stands_for_ns: int, level: Level, now_ns: int, *, others: float
    ) -> Reading | None:
        """A chunk has not come yet: as `on_chunk`, of what it has taken so far, if that alone shows
        that the device has become slower; else None.

        Args:
            level: that it was submitted at.
            others: share of the device that other streams take.
        """
        reading = self.on_waiting(stands_for_ns, level, now_ns)
        if reading is None or self._newest is None:
            return None
        since_ns = now_ns - max(submitted_ns, self._newest.received_ns)
        work_ns = since_ns * (1 - min(others, 1.0))
        if work_ns <= _ALIKE * reading.work_ns + _NOISE_NS:
            return None
        return replace(
            reading,
            period_ns=max(reading.period_ns, since_ns),
            work_ns=work_ns,
            denoise_ns=work_ns * reading.denoise_ns / max(reading.work_ns, 1.0),
        )

    def restart(self) -> None:
        """What was measured is of another level."""
        self._chunks.clear()
        self._newest = None

    def _take_captures(self, until_ns: int) -> int:
        """How many the camera has sent up to that moment, since last asked."""
        left = [at_ns for at_ns in self._captures_ns if at_ns > until_ns]
        taken = len(self._captures_ns) - len(left)
        self._captures_ns = deque(left, maxlen=_CAPTURES_MAX)
        return taken

    def _reading(self, age_ns: float, level: Level) -> Reading | None:
        camera_fps = self._camera_fps if self._chunks else None
        if camera_fps is None:
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
        alike = self._alike
        return sum(map(of, alike)) / len(alike)

    @property
    def _alike(self) -> Sequence[_Chunk]:
        """The newest chunk, and those just before it that are like it."""
        return list(takewhile(self._chunks[-1].is_like, reversed(self._chunks)))

    @property
    def _camera_fps(self) -> float | None:
        """None while it sends nothing, and its last picture is repeated."""
        captures = sum(chunk.captures for chunk in self._chunks)
        return captures * NS_PER_S / sum(chunk.filling_ns for chunk in self._chunks) or None


def _follows(newer: ChunkStamps, older: ChunkStamps) -> bool:
    """Whether there was no break between two chunks, and no clock that jumped."""
    return (
        0 < newer.received_ns - older.received_ns <= _BREAK_NS
        and 0 < newer.chunked_ns - older.chunked_ns <= _BREAK_NS
    )
