"""The policies that the scheduler is compared with in simulation, on the same backlog. Pure.

All serve the earliest deadline first, and let one chunk a stream wait until a newer one replaces
it. None looks at the clock: no chunk is dropped because it would be late.
"""

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.queues import QueuedChunk
from slipstream_engine.scheduling.types import (
    FIRST_STEP_POSITION,
    Batch,
    ChunkShape,
    DroppedChunk,
    MicroStep,
    Prefetch,
    Stage,
)

_WINDOW_CHUNKS = 16
_KNEE = 1.02  # a batch one larger must raise the rate by this to be tried


class FixedBatchPolicy:
    """Passes of up to `size` micro-steps of any streams; 1 is one chunk after the other.

    Decodes first, then runs a full batch where there is one, else encodes a chunk that waits to
    fill it, else runs the steps that are ready.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._backlog = Backlog()

    def open(self, stream: int, *, period_ns: int) -> None:
        self._backlog.open(stream, period_ns=period_ns)

    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None:
        self._backlog.offer(stream, chunk, now_ns=now_ns, deadline_ns=deadline_ns, shape=shape)

    def hold(self, stream: int) -> None:
        self._backlog.hold(stream)

    def release(self, stream: int) -> None:
        self._backlog.release(stream)

    def prefetch(self, stream: int) -> Prefetch:
        return Prefetch.AFTER_OUTPUT

    def is_last(self, batch: Batch) -> bool:
        return self._backlog.is_last(batch)

    def take_dropped(self) -> list[DroppedChunk]:
        return self._backlog.take_dropped()

    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[MicroStep]:
        return self._backlog.done(batch)

    def onward(self, batch: Batch) -> Batch | None:
        return self._backlog.onward(batch)

    def next_batch(self, now_ns: int, *, rank: int = 0) -> Batch | None:
        ready = [chunk for queue in self._backlog.queues.values() for chunk in queue.ready()]
        ready.sort(key=_deadline)
        chosen = self._choose(ready)
        return self._backlog.begin(chosen) if chosen else None

    def _choose(self, ready: list[QueuedChunk]) -> list[QueuedChunk]:
        stages: dict[Stage, list[QueuedChunk]] = {stage: [] for stage in Stage}
        for chunk in ready:
            stages[chunk.kind.stage].append(chunk)
        if stages[Stage.DECODE]:
            return stages[Stage.DECODE][:1]
        steps = stages[Stage.DENOISE]
        alike = [chunk for chunk in steps if chunk.kind is steps[0].kind]
        joiners = [chunk for chunk in stages[Stage.ENCODE] if chunk.queue.is_first_step_free]
        if len(alike) < self.size and joiners:
            return joiners[:1]
        return alike[: self.size]


class StreamBatchPolicy(FixedBatchPolicy):
    """The released StreamDiffusionV2: all steps of a stream in one pass, whenever a chunk comes.

    A step after the first waits for the next chunk of its stream; streams take turns.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def prefetch(self, stream: int) -> Prefetch:
        return Prefetch.AFTER_ENCODE

    def _choose(self, ready: list[QueuedChunk]) -> list[QueuedChunk]:
        for chunk in ready:
            if chunk.kind.stage is Stage.DECODE:
                return [chunk]
        for chunk in ready:
            if chunk.kind.stage is Stage.DENOISE and chunk.position == FIRST_STEP_POSITION:
                return [peer for peer in ready if _shares(peer, chunk)]
        waiting = [chunk for chunk in ready if chunk.kind.stage is Stage.ENCODE]
        waiting.sort(key=lambda chunk: chunk.queue.earliest_paced_ns)  # least recently served first
        return waiting[:1]


class PaperPolicy(FixedBatchPolicy):
    """The paper's scheduler as far as it is described: B follows the rate, to the knee of B / L(B).

    From StreamDiffusionV2, section 4.1: a batch holds no more than has been collected; L(B) is
    affine; B adapts to the observed latency so that each stream's rate meets the SLO, and converges
    near the knee. It gives no step and no window; here B moves by one after each sixteen chunks: up
    if chunks were lost and the knee is not reached, down if none was but one was late.
    """

    def __init__(self, latency: LatencyModel) -> None:
        super().__init__(1)
        self._latency = latency
        self._deadlines_ns: dict[tuple[int, int], int] = {}
        self._chunks = self._lost = self._late = 0

    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None:
        super().offer(stream, chunk, now_ns=now_ns, deadline_ns=deadline_ns, shape=shape)
        self._deadlines_ns[stream, chunk] = deadline_ns

    def take_dropped(self) -> list[DroppedChunk]:
        dropped = super().take_dropped()
        self._lost += len(dropped)
        for chunk in dropped:
            del self._deadlines_ns[chunk.stream, chunk.chunk]
        return dropped

    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[MicroStep]:
        size = len(batch.items)
        self._latency.observe(batch.kind, items=size, duration_ns=max(1, ended_ns - started_ns))
        finished = super().done(batch, started_ns=started_ns, ended_ns=ended_ns)
        for item in finished:
            self._chunks += 1
            self._late += self._deadlines_ns.pop((item.stream, item.chunk)) < ended_ns
        if batch.kind.stage is Stage.DENOISE and self._chunks >= _WINDOW_CHUNKS:
            self._adapt(batch)
        return finished

    def _adapt(self, batch: Batch) -> None:
        line = self._latency.line(batch.kind)
        gain = line.at(self.size) / line.at(self.size + 1) * (self.size + 1) / self.size
        if self._lost and gain >= _KNEE:
            self.size += 1
        elif self._late and not self._lost:
            self.size = max(1, self.size - 1)
        self._chunks = self._lost = self._late = 0


def _shares(chunk: QueuedChunk, first: QueuedChunk) -> bool:
    """Whether a chunk's step runs in the pass that `first`, of the same stream, begins."""
    return chunk.queue is first.queue and chunk.kind is first.kind


def _deadline(chunk: QueuedChunk) -> int:
    return chunk.deadline_ns
