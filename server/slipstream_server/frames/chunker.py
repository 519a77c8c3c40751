"""Camera frames into chunks of the engine's size; may leave some out. Pure.

The engine requests a chunk when it can take one, and gets the newest frames there are. Where more
frames wait than a chunk holds, the engine is slower than the camera: the chunk then takes frames
evenly from all that came since the last one, so that motion stays even at whatever rate the engine
sustains. No rate is measured or fed back, so nothing can spiral.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import I420, Geometry

MAX_SPAN_NS = 1 * NS_PER_S
MAX_WAITING_FRAMES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedFrame:
    """One camera frame at the engine's size, I420.

    Args:
        captured_ns: when it was captured, estimated, on the monotonic clock.
        arrived_ns: when it was decoded, on the monotonic clock.
        first_packet_ns: when its first packet came, on the monotonic clock; None if not known.
        captured_unix_ns: when it was captured on the sender's own clock, since 1970; None if not
            known.
    """

    frame: I420
    captured_ns: int
    arrived_ns: int
    first_packet_ns: int | None = None
    captured_unix_ns: int | None = None


class Chunker:
    """Keeps the frames since the last chunk, and makes the next one of them.

    Drops are counted by cause: `skipped` came between the frames of a chunk, `stale` were captured
    more than `max_span_ns` before the newest or were too many, `flushed` were dropped by `flush`.

    Args:
        geometry: says how many frames the first and the later chunks hold.
        max_span_ns: the longest time one chunk may span.
    """

    def __init__(self, geometry: Geometry, *, max_span_ns: int = MAX_SPAN_NS) -> None:
        self._geometry = geometry
        self._max_span_ns = max_span_ns
        self._waiting: deque[CapturedFrame] = deque()
        self._drops: Counter[str] = Counter()
        self.chunks = 0

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def push(self, frame: CapturedFrame) -> None:
        """Take in the newest frame.

        Raises:
            ValueError: if it is not of the engine's size.
        """
        self._geometry.check_frame(frame.frame)
        oldest_ns = frame.captured_ns - self._max_span_ns
        while self._waiting and (
            self._waiting[0].captured_ns < oldest_ns or len(self._waiting) >= MAX_WAITING_FRAMES
        ):
            self._waiting.popleft()
            self._drops["stale"] += 1
        self._waiting.append(frame)

    def take(self) -> tuple[CapturedFrame, ...] | None:
        """The next chunk, oldest frame first and the newest last; None while too few wait.

        Call it only when the engine requests a chunk: the frames that are not in it are dropped.
        """
        size = self._geometry.frames_of(self.chunks)
        if len(self._waiting) < size:
            return None
        frames = tuple(self._waiting)
        stride = len(frames) / size
        chunk = tuple(frames[round((k + 1) * stride) - 1] for k in range(size))
        self._drops["skipped"] += len(frames) - size
        self._waiting.clear()
        self.chunks += 1
        return chunk

    def flush(self) -> None:
        """Drop the frames that wait, as while a stream is paused."""
        self._drops["flushed"] += len(self._waiting)
        self._waiting.clear()

    def restart(self) -> None:
        """Begin with a first chunk again, as a new engine needs it."""
        self.flush()
        self.chunks = 0
