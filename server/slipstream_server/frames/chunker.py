"""Camera frames into chunks of the engine's length; may leave some out, or repeat some. Pure.

The engine requests a chunk when it can take one, and gets the newest frames there are. Where more
frames wait than a chunk holds, the engine is slower than the camera: the chunk then takes frames
evenly from all that came since the last one, so that motion stays even at whatever rate the engine
sustains.

Where fewer wait, the camera is slow, as with a slide or in a dark room. A chunk waits for the rest
half a second at most, and not at all where the last two frames lie so far apart that the rest would
not come in time; each frame then stands in it several times. A camera that sends nothing has
its last frame repeated as a whole chunk, a little less than once a second: whoever comes to watch
gets a picture, and a new prompt is seen. No rate is fed back, so nothing can spiral. Where the
quality ladder has set a frame rate, frames that come faster are left out evenly.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import I420, FrameSize, Geometry

MAX_SPAN_NS = 1 * NS_PER_S
MAX_WAITING_FRAMES = 128
FILL_WAIT_NS = NS_PER_S // 2  # from the arrival of a chunk's first frame
_AHEAD_SHARE = 4  # a frame may come before its turn by one part in so many of the interval
REPEAT_AFTER_NS = NS_PER_S * 5 // 4  # without a new frame; beyond the pace of one a second


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedFrame:
    """One camera frame at a size of the engine's, I420.

    Args:
        captured_ns: when it was captured, estimated, on the monotonic clock.
        arrived_ns: when it was decoded, on the monotonic clock.
        first_packet_ns: when its first packet came, on the monotonic clock; None if not known.
        captured_unix_ns: when it was captured on the sender's own clock, since 1970; None if not
            known.
        repeated_after_ns: how long no newer frame had come when it was repeated; 0 for a new frame.
    """

    frame: I420
    captured_ns: int
    arrived_ns: int
    first_packet_ns: int | None = None
    captured_unix_ns: int | None = None
    repeated_after_ns: int = 0

    @property
    def stands_for_ns(self) -> int:
        """The moment whose picture it is: when it was captured, later where it is repeated."""
        return self.captured_ns + self.repeated_after_ns


class Chunker:
    """Keeps the frames since the last chunk, and makes the next one of them.

    After `push` and after `take`, call `take` again no later than `due_ns` says.

    Drops are counted by cause: `skipped` came between the frames of a chunk, `stale` were captured
    more than `max_span_ns` before the newest or were too many, `flushed` were dropped by `flush`,
    `level` came faster than `max_fps`, `resized` waited when one of another size came: a chunk has
    one size, and the first of a size is as long as a stream's first.
    A repeated frame is none of them.

    Args:
        geometry: says how many frames the first and the later chunks hold.
        max_span_ns: the longest time one chunk may span.
    """

    def __init__(self, geometry: Geometry, *, max_span_ns: int = MAX_SPAN_NS) -> None:
        self._geometry = geometry
        self._max_span_ns = max_span_ns
        self._waiting: deque[CapturedFrame] = deque()
        self._newest: CapturedFrame | None = None
        self._size: FrameSize | None = None
        self.max_fps = 0.0  # frames a second that are taken at the most; 0 for all
        self._turn_ns = 0  # when the next frame may have been captured, at `max_fps`
        self._interval_ns = 0  # between the captures of the newest two
        self._taken_ns = 0
        self._drops: Counter[str] = Counter()
        self.chunks = 0

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def push(self, frame: CapturedFrame) -> None:
        """Take in the newest frame.

        Raises:
            ValueError: if it is no I420 picture.
        """
        size = FrameSize.of(frame.frame)
        if not self._has_turn(frame.captured_ns):
            self._drops["level"] += 1
            return
        if size != self._size:
            self._begin_size(size)
        oldest_ns = frame.captured_ns - self._max_span_ns
        while self._waiting and (
            self._waiting[0].captured_ns < oldest_ns or len(self._waiting) >= MAX_WAITING_FRAMES
        ):
            self._waiting.popleft()
            self._drops["stale"] += 1
        self._waiting.append(frame)
        if self._newest is not None:
            self._interval_ns = frame.captured_ns - self._newest.captured_ns
        self._newest = frame

    def take(self, now_ns: int) -> tuple[CapturedFrame, ...] | None:
        """The next chunk, oldest frame first and the newest last; None while it is to wait.

        A repeated frame stands in it several times in a row, as the same object. Call it only when
        the engine requests a chunk: the frames that are not in it are dropped.
        """
        size, due_ns = self._geometry.frames_of(self.chunks), self.due_ns()
        if due_ns is None or (len(self._waiting) < size and now_ns < due_ns):
            return None
        frames = tuple(self._waiting) or (self._repeated(now_ns),)
        chunk = tuple(frames[-(-(k + 1) * len(frames) // size) - 1] for k in range(size))
        self._drops["skipped"] += max(0, len(frames) - size)
        self._waiting.clear()
        self._taken_ns = now_ns
        self.chunks += 1
        return chunk

    def due_ns(self) -> int | None:
        """When `take` gives a chunk for lack of more frames; None before the first frame."""
        if not self._waiting:
            return None if self._newest is None else self._taken_ns + REPEAT_AFTER_NS
        latest_ns = self._waiting[0].arrived_ns + FILL_WAIT_NS
        arrived_ns = self._waiting[-1].arrived_ns
        missing = self._geometry.frames_of(self.chunks) - len(self._waiting)
        is_in_vain = arrived_ns + missing * self._interval_ns > latest_ns
        return arrived_ns if is_in_vain else latest_ns

    def flush(self) -> None:
        """Drop the frames that wait, as while a stream is paused, and repeat none."""
        self._drop_waiting()
        self._newest, self._interval_ns = None, 0

    def restart(self) -> None:
        """Begin with a first chunk again, as a new engine needs it."""
        self._drop_waiting()
        self.chunks = 0

    def _begin_size(self, size: FrameSize) -> None:
        self._drops["resized"] += len(self._waiting)
        self._waiting.clear()
        self._size = size
        self.chunks = 0

    def _has_turn(self, captured_ns: int) -> bool:
        """Whether a frame is taken at `max_fps`; turns stay even whatever the camera's rate."""
        if not self.max_fps:
            return True
        interval_ns = round(NS_PER_S / self.max_fps)
        if captured_ns < self._turn_ns - 2 * interval_ns:  # the clock has gone back
            self._turn_ns = captured_ns
        if captured_ns < self._turn_ns - interval_ns // _AHEAD_SHARE:
            return False
        self._turn_ns = max(self._turn_ns, captured_ns - interval_ns) + interval_ns
        return True

    def _drop_waiting(self) -> None:
        self._drops["flushed"] += len(self._waiting)
        self._waiting.clear()

    def _repeated(self, now_ns: int) -> CapturedFrame:
        assert self._newest is not None, "a chunk is due only after a frame"
        return replace(self._newest, repeated_after_ns=max(0, now_ns - self._newest.arrived_ns))
