"""One stream's chunks on an engine, their positions, and the stages that could run now. Pure.

A chunk passes `encode, step 0, ..., step n-1, decode`. A micro-step reads and writes only what
belongs to (stream, stage), so it depends on the stage before it and on the same stage of the
chunk before it, and on nothing else: several chunks of a stream may be in flight, each in a stage
of its own. A chunk whose shape differs from that of the chunks in flight has other stages, so it
begins only when they have ended; so does a chunk that must be alone.
"""

from collections import deque
from collections.abc import Collection

from slipstream_engine.scheduling.types import (
    FIRST_STEP_POSITION,
    ChunkShape,
    PassKind,
    Stage,
    StagePlan,
)

_MAX_LEAD_PERIODS = 4  # promised periods that a stream may be ahead of its promise
_GAP_WEIGHT = 1 / 8  # of a new gap in the mean gap
_LONGEST_GAP_PERIODS = 4  # a longer gap counts as this many periods


class QueuedChunk:
    """A chunk that waits or is in flight.

    Attributes:
        queue: of its stream.
        number: of the chunk, rising within its stream.
        deadline_ns: when it should be ready.
        paced_deadline_ns: its deadline in the order of service, by the method of that name in
            `StreamQueue`.
        plan: the stages of its `shape`.
        position: of its next stage in the plan, or of the one that runs.
        is_begun: it is in flight; until then it waits, and may be dropped.
        is_running: its stage is part of a pass that has not ended.
        slack_ns: until it could no longer be ready by its deadline; the scheduler refreshes it at
            each decision.
        urgency_ns: its place in the order of service, the smallest first; refreshed likewise.
    """

    __slots__ = (
        "deadline_ns",
        "is_begun",
        "is_running",
        "number",
        "paced_deadline_ns",
        "plan",
        "position",
        "queue",
        "shape",
        "slack_ns",
        "urgency_ns",
    )

    def __init__(
        self,
        queue: "StreamQueue",
        number: int,
        deadline_ns: int,
        shape: ChunkShape,
        plan: StagePlan,
    ) -> None:
        self.queue = queue
        self.number = number
        self.deadline_ns = deadline_ns
        self.paced_deadline_ns = queue.paced_deadline_ns(deadline_ns)
        self.shape = shape
        self.plan = plan
        self.position = 0
        self.is_begun = False
        self.is_running = False
        self.slack_ns = 0.0
        self.urgency_ns = 0

    @property
    def kind(self) -> PassKind:
        """Of its next stage, or of the one that runs."""
        return self.plan.kinds[self.position]

    @property
    def rank(self) -> int:
        """Where that stage runs."""
        return self.plan.ranks[self.position]

    @property
    def pass_kinds(self) -> tuple[PassKind, ...]:
        """Of its next pass at each rank that the pass visits."""
        return self.plan.pass_kinds(self.position)


class StreamQueue:
    """A stream's chunks: at most one waits, any number are in flight, oldest first.

    Args:
        stream: its number.
        period_ns: the distance of its chunks as promised.

    Attributes:
        promised_period_ns: that distance.
        period_ns: the distance that the stream is entitled to: never below the promise, and above
            it where its chunks come more slowly.
        gap_ns: the mean distance of its chunks as they come.
        waiting: the chunk that is not begun.
        in_flight: the chunks that are begun and not ended.
        shape: of the newest chunk.
        newest_chunk: the number of the newest chunk, -1 before the first.
        last_deadline_ns, last_offer_ns: the deadline of the newest chunk, and when it came.
        earliest_paced_ns: the next chunk's paced deadline is not before this.
        passed_over_batches: decisions in a row at which it had work and none was chosen.
        is_held: it has no free output slot.
        is_closed: it is closed, though a pass with one of its chunks may still run.
    """

    __slots__ = (
        "earliest_paced_ns",
        "gap_ns",
        "in_flight",
        "is_closed",
        "is_held",
        "last_deadline_ns",
        "last_offer_ns",
        "newest_chunk",
        "passed_over_batches",
        "period_ns",
        "promised_period_ns",
        "shape",
        "stream",
        "waiting",
    )

    def __init__(self, stream: int, period_ns: int) -> None:
        self.stream = stream
        self.promised_period_ns = period_ns
        self.period_ns = float(period_ns)
        self.gap_ns = float(period_ns)
        self.in_flight: deque[QueuedChunk] = deque()
        self.waiting: QueuedChunk | None = None
        self.shape: ChunkShape | None = None
        self.newest_chunk = -1
        self.last_deadline_ns: int | None = None
        self.last_offer_ns = 0
        self.earliest_paced_ns = 0
        self.passed_over_batches = 0
        self.is_held = False
        self.is_closed = False

    @property
    def chunks(self) -> list[QueuedChunk]:
        """All its chunks, oldest first."""
        return [*self.in_flight, self.waiting] if self.waiting else list(self.in_flight)

    @property
    def is_first_step_free(self) -> bool:
        """Whether a chunk encoded now could take its first step at once."""
        if not self.in_flight:
            return True
        youngest = self.in_flight[-1]
        return youngest.position > FIRST_STEP_POSITION or youngest.kind.stage is Stage.DECODE

    def observe_deadline(self, deadline_ns: int) -> None:
        """Update `gap_ns` and `period_ns` by the distance of this deadline to the one before."""
        if self.last_deadline_ns is not None:
            longest_ns = _LONGEST_GAP_PERIODS * self.period_ns
            gap_ns = min(deadline_ns - self.last_deadline_ns, longest_ns)
            self.gap_ns += (max(gap_ns, 1) - self.gap_ns) * _GAP_WEIGHT
            self.period_ns += (gap_ns - self.period_ns) * _GAP_WEIGHT
            self.period_ns = max(self.period_ns, self.promised_period_ns)
        self.last_deadline_ns = deadline_ns

    def silent_ns(self, now_ns: int) -> float:
        """Time since the newest chunk came; 0 while a chunk waits or is in flight."""
        is_busy = self.in_flight or self.waiting is not None
        return 0.0 if is_busy else now_ns - self.last_offer_ns

    def paced_deadline_ns(self, deadline_ns: int) -> int:
        """A chunk's deadline in the order of service.

        It is at least a promised period after that of the chunk begun before it: a stream that
        sends faster than promised delays its own chunks only. It is at most `_MAX_LEAD_PERIODS`
        after the chunk's own deadline: a stream that was ahead for a long time, while it was alone,
        must not wait as long once other streams come.
        """
        latest_ns = deadline_ns + _MAX_LEAD_PERIODS * self.promised_period_ns
        return min(max(deadline_ns, self.earliest_paced_ns), latest_ns)

    def begin_waiting(self) -> None:
        """Put the chunk that waits in flight; its place in the order of service is final now."""
        chunk = self.waiting
        assert chunk is not None, "no chunk waits"
        self.waiting = None
        self.in_flight.append(chunk)
        chunk.is_begun = True
        chunk.paced_deadline_ns = self.paced_deadline_ns(chunk.deadline_ns)
        self.earliest_paced_ns = chunk.paced_deadline_ns + self.promised_period_ns

    def ready(self) -> list[QueuedChunk]:
        """Find the chunks whose next stage could run now, oldest first.

        A chunk's next stage is free once the chunk before it has moved on to a later one. All
        chunks in flight have one shape, hence one plan, so their positions can be compared.
        """
        found: list[QueuedChunk] = []
        elder: QueuedChunk | None = None
        for chunk in self.in_flight:
            is_free = elder is None or chunk.position < elder.position
            is_held = self.is_held and chunk.kind.stage is Stage.DECODE
            if is_free and not is_held and not chunk.is_running:
                found.append(chunk)
            elder = chunk
        if self.waiting and not self.is_held and self._may_follow(self.waiting, elder):
            found.append(self.waiting)
        return found

    def has_more(self, chunks: Collection[QueuedChunk]) -> bool:
        """Whether it has chunks beside these."""
        return self.waiting is not None or any(chunk not in chunks for chunk in self.in_flight)

    @staticmethod
    def _may_follow(chunk: QueuedChunk, elder: QueuedChunk | None) -> bool:
        """Whether a chunk that waits may begin behind the youngest chunk in flight."""
        if elder is None:
            return True
        is_encoded = elder.position > 0
        return is_encoded and elder.shape == chunk.shape and not chunk.shape.alone
