"""A simulated device whose passes take exactly what the latency model predicts, and a scheduler.

Every decision is checked: a batch is of one kind, no (stream, stage, step) is twice in it, steps
and chunks run in order, and each chunk ends exactly once.
"""

from collections import Counter
from dataclasses import dataclass, field

from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import MAX_BATCH, PATIENCE_BATCHES, Scheduler
from slipstream_engine.scheduling.types import (
    Batch,
    ChunkShape,
    DropCause,
    DroppedChunk,
    MicroStep,
    PassKind,
    Stage,
)

MS = 1_000_000
TINY = ChunkShape(level="tiny", steps=2)
OTHER = ChunkShape(level="other", steps=1)
LINES = {
    Stage.ENCODE: LinearLatency(base_ns=0, per_item_ns=10 * MS),
    Stage.DENOISE: LinearLatency(base_ns=30 * MS, per_item_ns=10 * MS),
    Stage.DECODE: LinearLatency(base_ns=0, per_item_ns=20 * MS),
}
ALONE_MS = 10 + 2 * 40 + 20  # a TINY chunk, by itself


def exact_model(*levels: str, samples: int = 3) -> LatencyModel:
    """A model that starts with `LINES` and has observed each often enough to trust it."""
    kinds = [PassKind(stage=stage, level=level) for stage in Stage for level in levels]
    model = LatencyModel(
        LinearLatency(base_ns=1, per_item_ns=1), {kind: LINES[kind.stage] for kind in kinds}
    )
    for kind in kinds:
        for _ in range(samples):
            model.observe(kind, items=1, duration_ns=LINES[kind.stage].at(1))
    return model


@dataclass(slots=True)
class ObservedChunk:
    """A chunk on the device, with the number of its stages that have run."""

    deadline_ns: int
    shape: ChunkShape
    stages_done: int = 0

    @property
    def stages(self) -> list[tuple[Stage, int]]:
        steps = [(Stage.DENOISE, step) for step in range(self.shape.steps)]
        return [(Stage.ENCODE, 0), *steps, (Stage.DECODE, 0)]

    @property
    def remaining_ns(self) -> float:
        return sum(LINES[stage].at(1) for stage, _ in self.stages[self.stages_done :])


@dataclass(slots=True)
class CheckedScheduler:
    """A scheduler with its clock; each of its decisions is checked against the rules."""

    scheduler: Scheduler
    now_ns: int = 0
    chunks: dict[tuple[int, int], ObservedChunk] = field(default_factory=dict)
    finished: list[tuple[int, int, int]] = field(default_factory=list)  # stream, chunk, when
    dropped: list[DroppedChunk] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    order: dict[tuple[int, Stage, int], int] = field(default_factory=dict)
    ends: Counter[tuple[int, int]] = field(default_factory=Counter)

    def offer(
        self, stream: int, chunk: int, *, deadline_ms: float, shape: ChunkShape = TINY
    ) -> None:
        deadline_ns = round(deadline_ms * MS)
        self.scheduler.offer(
            stream, chunk, now_ns=self.now_ns, deadline_ns=deadline_ns, shape=shape
        )
        self.chunks[stream, chunk] = ObservedChunk(deadline_ns, shape)
        self.collect()

    def step(self) -> Batch | None:
        """Run the next batch, if there is one."""
        batch = self.scheduler.next_batch(self.now_ns)
        self.collect()
        if batch is not None:
            self.run(batch)
        return batch

    def run(self, batch: Batch) -> None:
        self.check(batch)
        started_ns = self.now_ns
        self.now_ns += round(LINES[batch.kind.stage].at(len(batch.items)))
        finished = self.scheduler.done(batch, started_ns=started_ns, ended_ns=self.now_ns)
        for item in batch.items:
            if observed := self.chunks.get((item.stream, item.chunk)):
                observed.stages_done += 1
        for item in finished:
            key = (item.stream, item.chunk)
            assert self.chunks[key].stages_done == len(self.chunks[key].stages), "left early"
            self.end(key)
            self.finished.append((*key, self.now_ns))

    def drain(self) -> None:
        while self.step():
            pass

    def collect(self) -> None:
        for dropped in self.scheduler.take_dropped():
            key = (dropped.stream, dropped.chunk)
            if dropped.cause is not DropCause.CLOSED:
                assert self.chunks[key].stages_done == 0, "dropped half-way"
            self.end(key)
            self.dropped.append(dropped)

    def end(self, key: tuple[int, int]) -> None:
        self.ends[key] += 1
        assert self.ends[key] == 1, f"{key} ended twice"
        del self.chunks[key]

    def check(self, batch: Batch) -> None:
        self.batches.append(batch)
        assert {item.stage for item in batch.items} == {batch.kind.stage}
        keys = [(item.stream, item.stage, item.step) for item in batch.items]
        assert len(set(keys)) == len(keys), "one step cache twice in a batch"
        for item, key in zip(batch.items, keys, strict=True):
            observed = self.chunks[item.stream, item.chunk]
            assert observed.shape.level == batch.kind.level
            assert observed.stages[observed.stages_done] == (item.stage, item.step), (
                "a step out of order"
            )
            assert item.chunk > self.order.get(key, -1), "a step before an older chunk's"
            self.order[key] = item.chunk


def ran(batch: Batch | None) -> list[tuple[int, int, str]]:
    """A batch as stream, chunk and stage with step, for comparison."""
    return [(item.stream, item.chunk, named(item)) for item in batch.items] if batch else []


def named(item: MicroStep) -> str:
    return f"step{item.step}" if item.stage is Stage.DENOISE else item.stage.value


def on_device(
    *,
    streams: int = 1,
    period_ms: float = 1000,
    max_batch: int = MAX_BATCH,
    patience: int = PATIENCE_BATCHES,
) -> CheckedScheduler:
    """A device with open streams, whose scheduler knows it exactly and is not cautious."""
    model = exact_model("tiny", "other")
    scheduler = Scheduler(model, max_batch=max_batch, patience=patience, caution=0)
    for stream in range(streams):
        scheduler.open(stream, period_ns=round(period_ms * MS))
    return CheckedScheduler(scheduler)
