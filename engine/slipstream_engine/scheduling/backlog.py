"""All streams' chunks on one engine, and the rules by which they move. Pure.

A chunk is dropped as a whole and only before it is begun: it has not changed its stream's state
then, as if the camera had not sent it. A chunk that is begun is always finished.
"""

from collections.abc import Iterable

import msgspec

from slipstream_engine.scheduling.queues import QueuedChunk, StreamQueue
from slipstream_engine.scheduling.types import (
    ONE_RANK,
    Batch,
    ChunkShape,
    DropCause,
    DroppedChunk,
    MicroStep,
    PassKind,
    Placement,
    Stage,
    StagePlan,
)


class Backlog:
    """The queues of all streams, the batches that run, and the chunks that were dropped.

    Args:
        placement: the ranks of the stages.

    Attributes:
        queues: by the number of the stream.
        placement: as given.
    """

    def __init__(self, placement: Placement = ONE_RANK) -> None:
        self.placement = placement
        self.queues: dict[int, StreamQueue] = {}
        self._plans: dict[ChunkShape, StagePlan] = {}
        self._kinds: dict[PassKind, PassKind] = {}
        self._running: dict[int, tuple[QueuedChunk, ...]] = {}
        self._dropped: list[DroppedChunk] = []
        self._batches = 0

    def open(self, stream: int, *, period_ns: int) -> None:
        """Add a stream whose chunks will come `period_ns` apart.

        Raises:
            ValueError: if the stream is open or the period is not positive.
        """
        if stream in self.queues:
            raise ValueError(f"stream {stream} is open, close it first")
        if period_ns < 1:
            raise ValueError(f"period_ns is {period_ns}, it must be at least 1")
        self.queues[stream] = StreamQueue(stream, period_ns)

    def promise(self, stream: int, *, period_ns: int) -> None:
        """The stream is promised a chunk every `period_ns` from now on.

        Raises:
            KeyError: if it is not open.
        """
        queue = self.queues[stream]
        queue.promised_period_ns = period_ns
        queue.period_ns = max(queue.period_ns, period_ns)

    def close(self, stream: int) -> None:
        """Remove a stream: its chunks are dropped, and the result of a running pass is ignored."""
        queue = self.queues.pop(stream, None)
        if queue is None:
            return
        queue.is_closed = True
        for chunk in queue.chunks:
            self._drop(chunk, DropCause.CLOSED)

    def hold(self, stream: int) -> None:
        """The stream has no free output slot: none of its chunks is begun or decoded."""
        self.queues[stream].is_held = True

    def release(self, stream: int) -> None:
        """The stream has a free output slot again."""
        self.queues[stream].is_held = False

    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None:
        """Add a chunk that waits to be begun; one that still waits is dropped for it.

        Raises:
            ValueError: if the chunk is not newer than all before it.
            KeyError: if the stream is not open.
        """
        queue = self.queues[stream]
        if chunk <= queue.newest_chunk:
            raise ValueError(f"chunk is {chunk}, it must be above {queue.newest_chunk}")
        if queue.waiting is not None:
            self._drop(queue.waiting, DropCause.REPLACED)
        queue.waiting = QueuedChunk(queue, chunk, deadline_ns, shape, self.plan(shape))
        queue.newest_chunk = chunk
        queue.last_offer_ns = now_ns
        queue.shape = shape
        queue.observe_deadline(deadline_ns)

    def has_room(self, stream: int) -> bool:
        """Whether an offer would replace nothing."""
        return self.queues[stream].waiting is None

    def has_ready(self, rank: int) -> bool:
        """Whether any chunk's next stage could run on a rank."""
        return any(chunk.rank == rank for queue in self.queues.values() for chunk in queue.ready())

    def drop_overdue(self, chunk: QueuedChunk) -> None:
        """Drop a chunk that waits."""
        chunk.queue.waiting = None
        self._drop(chunk, DropCause.OVERDUE)

    def take_dropped(self) -> list[DroppedChunk]:
        """The chunks dropped since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def begin(self, chunks: Iterable[QueuedChunk]) -> Batch:
        """Start the next stage of each of `chunks`, which are of one kind, as one batch."""
        chosen = tuple(chunks)
        for chunk in chosen:
            if not chunk.is_begun:
                chunk.queue.begin_waiting()
            chunk.is_running = True
        self._batches += 1
        self._running[self._batches] = chosen
        kind = chosen[0].kind
        items = tuple(
            MicroStep(
                stream=chunk.queue.stream,
                chunk=chunk.number,
                stage=kind.stage,
                step=chunk.plan.steps[chunk.position],
            )
            for chunk in chosen
        )
        rank = chosen[0].plan.ranks[chosen[0].position]
        return Batch(number=self._batches, kind=kind, items=items, rank=rank)

    def onward(self, batch: Batch) -> Batch | None:
        """The next hop of a pass whose hop is done; None after its last."""
        chunks = self._running.get(batch.number)
        if chunks is None:
            return None
        plan, position = chunks[0].plan, chunks[0].position
        return msgspec.structs.replace(batch, kind=plan.kinds[position], rank=plan.ranks[position])

    def is_last(self, batch: Batch) -> bool:
        """Whether nothing is left to run, at present, after a batch that is running."""
        chunks = self._running[batch.number]
        if any(chunk.position + 1 < len(chunk.plan.kinds) for chunk in chunks):
            return False
        served = (queue for queue in self.queues.values() if not queue.is_held)
        return not any(queue.has_more(chunks) for queue in served)

    def done(self, batch: Batch) -> list[MicroStep]:
        """A batch has run on its rank; returns those micro-steps that were a chunk's last.

        Those of a stream that was closed meanwhile are not among them. A pass that has further hops
        goes `onward`; what comes behind it may enter the rank that it has left.

        Raises:
            KeyError: if it was not running.
        """
        finished: list[MicroStep] = []
        if batch.kind.hop + 1 < self._hops(batch.kind):
            for chunk in self._running[batch.number]:
                chunk.position += 1
            return finished
        for chunk, item in zip(self._running.pop(batch.number), batch.items, strict=True):
            chunk.is_running = False
            if chunk.position + 1 < len(chunk.plan.kinds):
                chunk.position += 1
            elif not chunk.queue.is_closed:
                chunk.queue.in_flight.remove(chunk)
                finished.append(item)
        return finished

    def plan(self, shape: ChunkShape) -> StagePlan:
        """The stages of `shape`; equal kinds of pass are one object, whatever the shape."""
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._plans[shape] = self._new_plan(shape)
        return plan

    def _new_plan(self, shape: ChunkShape) -> StagePlan:
        placement = self.placement
        kinds = [self._kind(PassKind(stage=Stage.ENCODE, level=shape.level))]
        steps, ranks, ends = [0], [placement.encode_rank], [1]
        for step in range(shape.steps):
            path = placement.path_at(step)
            hops = placement.paths[path]
            kinds += [
                self._kind(PassKind(stage=Stage.DENOISE, level=shape.level, path=path, hop=hop))
                for hop in range(len(hops))
            ]
            steps += [step] * len(hops)
            ranks += hops
            ends += [len(kinds)] * len(hops)
        kinds.append(self._kind(PassKind(stage=Stage.DECODE, level=shape.level)))
        return StagePlan(
            kinds=tuple(kinds),
            steps=(*steps, 0),
            ranks=(*ranks, placement.decode_rank),
            ends=(*ends, len(kinds)),
        )

    def _kind(self, kind: PassKind) -> PassKind:
        """The one object that is equal to it."""
        return self._kinds.setdefault(kind, kind)

    def _hops(self, kind: PassKind) -> int:
        return len(self.placement.paths[kind.path]) if kind.stage is Stage.DENOISE else 1

    def _drop(self, chunk: QueuedChunk, cause: DropCause) -> None:
        dropped = DroppedChunk(stream=chunk.queue.stream, chunk=chunk.number, cause=cause)
        self._dropped.append(dropped)
