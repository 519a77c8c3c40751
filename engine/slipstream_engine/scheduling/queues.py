"""Which chunk of which stream is where, and what of it could run now. Pure.

A chunk passes `encode, step 0, ..., step n-1, decode`. A micro-step reads and writes only what
belongs to (stream, stage), so it depends on the stage before it and on the same stage of the
chunk before it, and on nothing else: several chunks of a stream may be under way, one a stage.
Where a chunk has another shape than the one before it, the stages are not the same: it begins when
that one has ended. So does one that must be alone.

Dropping means a whole chunk before it is begun. The stream's state has then never met it, as if
the camera had not sent it; a chunk once begun is carried to its end.
"""

from collections import deque
from collections.abc import Collection, Iterable

from slipstream_engine.scheduling.types import (
    DECODE_ORDER,
    FIRST_STEP_ORDER,
    Batch,
    ChunkShape,
    DropCause,
    DroppedChunk,
    MicroStep,
    PassKind,
    Stage,
    StagePlan,
)

_MAX_LEAD = 4  # promised periods that a stream may be ahead of itself


class QueuedChunk:
    """A chunk that waits (`position` 0, not begun) or is under way.

    `rank_ns` is its deadline for the order of service, see `Lane.pace`. The last two belong to
    whoever chooses: the slack is refreshed at each decision.
    """

    __slots__ = (
        "deadline_ns",
        "is_begun",
        "is_running",
        "lane",
        "number",
        "path",
        "position",
        "rank_ns",
        "shape",
        "slack_ns",
        "urgency_ns",
    )

    def __init__(
        self, lane: "StreamQueue", number: int, deadline_ns: int, shape: ChunkShape, path: StagePlan
    ):
        self.lane = lane
        self.number = number
        self.deadline_ns = deadline_ns
        self.rank_ns = deadline_ns
        self.shape = shape
        self.path = path
        self.position = 0
        self.is_begun = False
        self.is_running = False
        self.slack_ns = 0.0
        self.urgency_ns = 0

    @property
    def kind(self) -> PassKind:
        """Of its next stage, or of the one that runs."""
        return self.path.kinds[self.position]

    @property
    def order(self) -> int:
        """Where its next stage stands among all stages."""
        return self.path.orders[self.position]


class StreamQueue:
    """A stream's chunks: at most one waits, any number is under way, oldest first.

    Args:
        period_ns: the distance of its chunks as promised.
    """

    __slots__ = (
        "flying",
        "gap_ns",
        "is_closed",
        "is_held",
        "last_deadline_ns",
        "newest",
        "offered_ns",
        "paced_ns",
        "passed_over",
        "period_ns",
        "promised_ns",
        "shape",
        "stream",
        "waiting",
    )

    def __init__(self, stream: int, period_ns: int) -> None:
        self.stream = stream
        self.promised_ns = period_ns
        self.period_ns = float(period_ns)
        self.gap_ns = float(period_ns)
        self.flying: deque[QueuedChunk] = deque()
        self.waiting: QueuedChunk | None = None
        self.shape: ChunkShape | None = None
        self.newest = -1
        self.last_deadline_ns: int | None = None
        self.offered_ns = 0
        self.paced_ns = 0
        self.passed_over = 0
        self.is_held = False
        self.is_closed = False

    @property
    def is_first_step_free(self) -> bool:
        """Whether a chunk that were encoded now could take its first step at once."""
        return not self.flying or self.flying[-1].order > FIRST_STEP_ORDER

    def observe_deadline(self, deadline_ns: int) -> None:
        """Follow the distance of the chunks.

        `gap_ns` is that distance; to `period_ns`, which is what the stream has a right to, slower
        than promised is believed, faster is not.
        """
        if self.last_deadline_ns is not None:
            gap_ns = min(deadline_ns - self.last_deadline_ns, 4 * self.period_ns)
            self.gap_ns += (max(gap_ns, 1) - self.gap_ns) / 8
            self.period_ns += (gap_ns - self.period_ns) / 8
            self.period_ns = max(self.period_ns, self.promised_ns)
        self.last_deadline_ns = deadline_ns

    def silent_ns(self, now_ns: int) -> float:
        """For how long nothing has come of it and nothing of it is here."""
        is_busy = self.flying or self.waiting is not None
        return 0.0 if is_busy else now_ns - self.offered_ns

    def pace(self, chunk: QueuedChunk) -> None:
        """Give a chunk its place in the order of service as it is begun.

        Its deadline, but not sooner than a promised period after the chunk begun before it: a
        stream that sends faster than it promised is late in its own queue and in nobody else's.
        It is `_MAX_LEAD` periods late at most, or it would pay for an hour alone with an hour in
        company.
        """
        latest_ns = chunk.deadline_ns + _MAX_LEAD * self.promised_ns
        chunk.rank_ns = min(max(chunk.deadline_ns, self.paced_ns), latest_ns)
        self.paced_ns = chunk.rank_ns + self.promised_ns

    def ready(self) -> list[QueuedChunk]:
        """The chunks whose next stage could run now, oldest first."""
        found: list[QueuedChunk] = []
        free_below = DECODE_ORDER + 1
        for chunk in self.flying:
            order = chunk.order
            if order < free_below and not chunk.is_running and not self._must_hold(chunk):
                found.append(chunk)
            free_below = order
        waiting = self.waiting
        if waiting and waiting.order < free_below and not self.is_held and self._fits(waiting):
            found.append(waiting)
        return found

    def has_more(self, chunks: Collection[QueuedChunk]) -> bool:
        """Whether it has chunks beside these."""
        return self.waiting is not None or any(chunk not in chunks for chunk in self.flying)

    def _fits(self, chunk: QueuedChunk) -> bool:
        """Whether a chunk has the stages of those under way, and may be beside them."""
        return not self.flying or (self.flying[-1].shape == chunk.shape and not chunk.shape.alone)

    def _must_hold(self, chunk: QueuedChunk) -> bool:
        return self.is_held and chunk.order == DECODE_ORDER


class Backlog:
    """All streams' chunks on one device, and the rules of moving them."""

    def __init__(self) -> None:
        self.lanes: dict[int, StreamQueue] = {}
        self._paths: dict[ChunkShape, StagePlan] = {}
        self._kinds: dict[str, list[PassKind]] = {}
        self._running: dict[int, tuple[QueuedChunk, ...]] = {}
        self._dropped: list[DroppedChunk] = []
        self._batches = 0

    def open(self, stream: int, *, period_ns: int) -> None:
        """Make room for a stream whose chunks will come `period_ns` apart.

        Raises:
            ValueError: if the stream is open or the period is not positive.
        """
        if stream in self.lanes:
            raise ValueError(f"stream {stream} is open, close it first")
        if period_ns < 1:
            raise ValueError(f"period_ns is {period_ns}, it must be at least 1")
        self.lanes[stream] = StreamQueue(stream, period_ns)

    def close(self, stream: int) -> None:
        """Forget a stream; its chunks are dropped, what runs of it ends unnoticed."""
        lane = self.lanes.pop(stream, None)
        if lane is None:
            return
        lane.is_closed = True
        for chunk in (*lane.flying, lane.waiting):
            if chunk is not None:
                self._drop(chunk, DropCause.CLOSED)

    def hold(self, stream: int) -> None:
        """The stream's viewer takes no output: decode nothing, begin nothing."""
        self.lanes[stream].is_held = True

    def release(self, stream: int) -> None:
        """There is room for the stream's output again."""
        self.lanes[stream].is_held = False

    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None:
        """A chunk waits to be begun; one that waited before it is dropped.

        Raises:
            ValueError: if the chunk is not newer than all before it.
            KeyError: if the stream is not open.
        """
        lane = self.lanes[stream]
        if chunk <= lane.newest:
            raise ValueError(f"chunk is {chunk}, it must be above {lane.newest}")
        path = self.path(shape)
        if lane.waiting is not None:
            self._drop(lane.waiting, DropCause.REPLACED)
        lane.waiting = QueuedChunk(lane, chunk, deadline_ns, shape, path)
        latest_ns = deadline_ns + _MAX_LEAD * lane.promised_ns
        lane.waiting.rank_ns = min(max(deadline_ns, lane.paced_ns), latest_ns)
        lane.newest = chunk
        lane.offered_ns = now_ns
        lane.shape = shape
        lane.observe_deadline(deadline_ns)

    def has_room(self, stream: int) -> bool:
        """Whether an offer would replace nothing."""
        return self.lanes[stream].waiting is None

    def drop_overdue(self, chunk: QueuedChunk) -> None:
        """Drop a chunk that waits."""
        chunk.lane.waiting = None
        self._drop(chunk, DropCause.OVERDUE)

    def take_dropped(self) -> list[DroppedChunk]:
        """What has been dropped since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def begin(self, chunks: Iterable[QueuedChunk]) -> Batch:
        """Let the next stage of each of `chunks` run, as one batch; they are of one kind."""
        chosen = tuple(chunks)
        for chunk in chosen:
            lane = chunk.lane
            if chunk is lane.waiting:
                lane.waiting = None
                chunk.is_begun = True
                lane.pace(chunk)
                lane.flying.append(chunk)
            chunk.is_running = True
        self._batches += 1
        self._running[self._batches] = chosen
        kind = chosen[0].kind
        items = tuple(
            MicroStep(
                stream=chunk.lane.stream,
                chunk=chunk.number,
                stage=kind.stage,
                step=chunk.path.steps[chunk.position],
            )
            for chunk in chosen
        )
        return Batch(number=self._batches, kind=kind, items=items)

    def is_last(self, batch: Batch) -> bool:
        """Whether nothing is left to run after a batch that is under way, as things stand."""
        chunks = self._running[batch.number]
        if any(chunk.position + 1 < len(chunk.path.kinds) for chunk in chunks):
            return False
        return not any(lane.has_more(chunks) for lane in self.lanes.values() if not lane.is_held)

    def done(self, batch: Batch) -> list[MicroStep]:
        """A batch has run; returns those micro-steps that were a chunk's last.

        What belongs to a stream closed meanwhile is not among them: its result is to be forgotten.

        Raises:
            KeyError: if it was not running.
        """
        finished: list[MicroStep] = []
        for chunk, work in zip(self._running.pop(batch.number), batch.items, strict=True):
            chunk.is_running = False
            if chunk.position + 1 < len(chunk.path.kinds):
                chunk.position += 1
            elif not chunk.lane.is_closed:
                chunk.lane.flying.remove(chunk)
                finished.append(work)
        return finished

    def path(self, shape: ChunkShape) -> StagePlan:
        """The stages of `shape`; equal kinds of work are one object, whatever the shape."""
        path = self._paths.get(shape)
        if path is None:
            path = self._paths[shape] = self._lay(shape)
        return path

    def _lay(self, shape: ChunkShape) -> StagePlan:
        kinds = self._kinds.get(shape.level)
        if kinds is None:
            kinds = [PassKind(stage=stage, level=shape.level) for stage in Stage]
            self._kinds[shape.level] = kinds
        encode, denoise, decode = kinds
        rows = [(encode, 0, 0)] * shape.encode
        rows += [(denoise, step, FIRST_STEP_ORDER + step) for step in range(shape.steps)]
        rows += [(decode, 0, DECODE_ORDER)] * shape.decode
        return StagePlan(
            kinds=tuple(kind for kind, _, _ in rows),
            steps=tuple(step for _, step, _ in rows),
            orders=tuple(order for _, _, order in rows),
        )

    def _drop(self, chunk: QueuedChunk, cause: DropCause) -> None:
        dropped = DroppedChunk(stream=chunk.lane.stream, chunk=chunk.number, cause=cause)
        self._dropped.append(dropped)
