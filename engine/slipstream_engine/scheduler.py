"""Which micro-steps run next: earliest deadline first, batched as far as deadlines allow. Pure.

The order of micro-steps never changes a number (DESIGN: a step depends on its own cache alone), so
it is free to choose, and is chosen anew at each decision:

* The head is the ready micro-step whose chunk has the earliest deadline among those that can still
  make theirs; what cannot is served when nothing else waits on it.
* Others of its kind join the pass, in order of deadline, as long as no chunk that would make its
  deadline with a smaller batch loses it: `L(B)`, from the latency model, must fit every slack.
* With slack the head goes ahead alone, step after step: the lowest latency. Once running one chunk
  after the other would fill the device, chunks that wait are encoded first, if the head's deadline
  can bear it, so that they join its steps: the stream batch, and the highest throughput. It never
  waits for a chunk that has not come.
* A chunk that cannot make its deadline is dropped while it waits, never once it is begun.

Fairness: a stream that has something ready at every decision, or loses a chunk to its deadline,
is part of one of any `patience + streams` batches in a row, whatever the others do.

    scheduler.open(stream, period_ns=...)
    scheduler.offer(stream, chunk, deadline_ns=..., shape=...)
    while batch := scheduler.next_batch(now_ns):
        ...  # run it
        scheduler.done(batch, started_ns=..., ended_ns=...)
    scheduler.take_dropped()
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream_protocol.clock import NS_PER_MS

from slipstream_engine.backlog import (
    Backlog,
    Batch,
    Chunk,
    Dropped,
    Lane,
    Path,
    Shape,
    Stage,
    Work,
)
from slipstream_engine.latency import LatencyModel

MAX_BATCH = 16
PATIENCE_BATCHES = 32
_SATURATED = 0.8  # share of the device that running chunk after chunk would take
_FULL = 0.9  # share of the device that may be promised to streams
_WORTHWHILE = 0.05  # of L(1) that a joiner must save
_RETRY_AFTER_S = 10.0  # a place opens when a viewer leaves, which nobody can foretell
_HOPELESS_NS = 1e20  # beyond any deadline
_STARVING_NS = -1e20


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether one more stream fits.

    Args:
        load: share of the device that all streams would take at its best batches.
        reason: why not, for people; None where it fits.
        retry_after_s: when to ask again.
    """

    load: float
    reason: str | None
    retry_after_s: float


class Policy(Protocol):
    """What drives a device: the scheduler, and what it is compared with."""

    def open(self, stream: int, *, period_ns: int) -> None: ...
    def close(self, stream: int) -> None: ...
    def offer(self, stream: int, chunk: int, *, deadline_ns: int, shape: Shape) -> None: ...
    def has_room(self, stream: int) -> bool: ...
    def next_batch(self, now_ns: int) -> Batch | None: ...
    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[Work]: ...
    def take_dropped(self) -> list[Dropped]: ...


class Scheduler:
    """See the module.

    Args:
        latency: learns from every batch that is done.
        max_batch: most micro-steps the device can take in one pass.
        patience: batches that may pass over a stream before it goes first.
        caution: standard deviations of a pass to allow for when deadlines are checked.
    """

    def __init__(
        self,
        latency: LatencyModel,
        *,
        max_batch: int = MAX_BATCH,
        patience: int = PATIENCE_BATCHES,
        caution: float = 0.5,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch is {max_batch}, it must be at least 1")
        if patience < 1:
            raise ValueError(f"patience is {patience}, it must be at least 1")
        self._latency = latency
        self._max_batch = max_batch
        self._patience = patience
        self._caution = caution
        self._backlog = Backlog()
        self._rests: dict[Path, list[float]] = {}

    def open(self, stream: int, *, period_ns: int) -> None:
        """Make room for a stream; see `Backlog.open`."""
        self._backlog.open(stream, period_ns=period_ns)

    def close(self, stream: int) -> None:
        """Forget a stream; see `Backlog.close`."""
        self._backlog.close(stream)

    def hold(self, stream: int) -> None:
        """The stream has no room for output; see `Backlog.hold`."""
        self._backlog.hold(stream)

    def release(self, stream: int) -> None:
        """The stream has room for output again."""
        self._backlog.release(stream)

    def offer(self, stream: int, chunk: int, *, deadline_ns: int, shape: Shape) -> None:
        """A chunk has come; see `Backlog.offer`."""
        self._backlog.offer(stream, chunk, deadline_ns=deadline_ns, shape=shape)

    def has_room(self, stream: int) -> bool:
        """Whether an offer would replace nothing."""
        return self._backlog.has_room(stream)

    def take_dropped(self) -> list[Dropped]:
        """What has been dropped since the last call."""
        return self._backlog.take_dropped()

    def next_batch(self, now_ns: int) -> Batch | None:
        """What to run now, or None where there is nothing."""
        chunks, ready, wanting = self._survey(now_ns)
        for lane in wanting:
            lane.passed_over += 1
        if not ready:
            return None
        head = min(ready, key=_urgency)
        chosen = self._joiners(head, chunks, ready) or self._fill(head, chunks, ready)
        for chunk in chosen:
            chunk.lane.passed_over = 0
        return self._backlog.begin(chosen)

    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[Work]:
        """A batch has run; returns the micro-steps that were a chunk's last, see `Backlog.done`."""
        duration_ns = max(1, ended_ns - started_ns)
        self._latency.observe(batch.kind, items=len(batch.items), duration_ns=duration_ns)
        self._rests.clear()
        return self._backlog.done(batch)

    def admit(self, shape: Shape, *, period_ns: int) -> Admission:
        """Whether a stream of `shape` chunks every `period_ns` fits beside those that are open."""
        load = self._load(self._batched_ns(shape), period_ns) + sum(
            self._load(self._batched_ns(lane.shape), lane.period_ns)
            for lane in self._backlog.lanes.values()
            if lane.shape
        )
        if load <= _FULL:
            return Admission(load=load, reason=None, retry_after_s=0.0)
        alone_ms = self._rest(self._backlog.path(shape))[0] / NS_PER_MS
        reason = (
            f"load would be {load:.0%} of this device, it must be at most {_FULL:.0%}: a chunk "
            f"takes {alone_ms:.0f} ms alone and comes every {period_ns / NS_PER_MS:.0f} ms; "
            "ask for fewer steps or frames, or wait until a viewer leaves"
        )
        return Admission(load=load, reason=reason, retry_after_s=_RETRY_AFTER_S)

    # ---- the state of things at a decision

    def _survey(self, now_ns: int) -> tuple[list[Chunk], list[Chunk], list[Lane]]:
        """Refresh slack and urgency, drop what is overdue.

        Returns all chunks, those that are ready, and the streams that want service.
        """
        chunks: list[Chunk] = []
        ready: list[Chunk] = []
        wanting: list[Lane] = []
        for lane in self._backlog.lanes.values():
            starving = lane.passed_over >= self._patience
            lost = self._drop_overdue(lane, now_ns, starving)
            inherited_ns = _HOPELESS_NS
            # from the newest on: what stands before a chunk that can make it is as urgent as that
            for chunk in (lane.waiting, *reversed(lane.flying)):
                if chunk is None:
                    continue
                rest_ns = self._rest(chunk.path)[chunk.position]
                chunk.slack_ns = chunk.deadline_ns - now_ns - rest_ns
                if chunk.slack_ns >= 0 and chunk.rank_ns < inherited_ns:
                    inherited_ns = chunk.rank_ns
                chunk.urgency_ns = inherited_ns
                if starving:
                    chunk.urgency_ns = _STARVING_NS * lane.passed_over
                elif inherited_ns == _HOPELESS_NS:
                    chunk.urgency_ns += chunk.rank_ns
                chunks.append(chunk)
            could_run = lane.ready()
            ready += could_run
            if could_run or lost:
                wanting.append(lane)
        return chunks, ready, wanting

    def _drop_overdue(self, lane: Lane, now_ns: int, starving: bool) -> bool:
        """Drop the chunk that waits if it cannot be in time; returns whether it was."""
        chunk = lane.waiting
        if chunk is None or starving:
            return False
        if now_ns + self._rest(chunk.path)[0] <= chunk.deadline_ns:
            return False
        self._backlog.drop_overdue(chunk)
        return True

    def _rest(self, path: Path) -> list[float]:
        """Nanoseconds a chunk still needs, were it alone, by its position; cautiously."""
        rest = self._rests.get(path)
        if rest is None:
            total_ns = 0.0
            rest = []
            for kind in reversed(path.kinds):
                total_ns += self._latency.line(kind).at(1) * self._careful(kind)
                rest.append(total_ns)
            rest.reverse()
            self._rests[path] = rest
        return rest

    def _careful(self, kind: object) -> float:
        return 1.0 + self._caution * self._latency.spread(kind)

    # ---- the choice

    def _fill(self, head: Chunk, chunks: list[Chunk], ready: list[Chunk]) -> list[Chunk]:
        """The head, and as many of its kind as cost no deadline that fewer would keep."""
        kind = head.kind
        peers = [chunk for chunk in ready if chunk.kind is kind and chunk is not head]
        line = self._latency.line(kind)
        if not peers or line.base_ns < _WORTHWHILE * line.at(1):
            return [head]
        peers.sort(key=_urgency)
        batch = [head, *peers[: self._max_batch - 1]]
        careful = self._careful(kind)
        alone_ns = line.at(1) * careful
        while len(batch) > 1:
            if line.at(len(batch)) * careful <= _limit_ns(chunks, batch, alone_ns):
                break
            batch.pop()
        return batch

    def _joiners(self, head: Chunk, chunks: list[Chunk], ready: list[Chunk]) -> list[Chunk]:
        """Chunks to encode first so that they join the head's steps; none unless saturated."""
        kind = head.kind
        if kind.stage is not Stage.DENOISE or head.urgency_ns < 0:
            return []
        waiting = [chunk for chunk in ready if _could_join(chunk, head)]
        line = self._latency.line(kind)
        if not waiting or line.base_ns < _WORTHWHILE * line.at(1) or not self._is_saturated():
            return []
        careful = self._careful(kind)
        limit_ns = _limit_ns(chunks, [head], line.at(1) * careful)
        size = sum(chunk.kind is kind for chunk in ready)
        spent_ns = 0.0
        joiners: list[Chunk] = []
        for chunk in sorted(waiting, key=_urgency):
            rest = self._rest(chunk.path)
            spent_ns += rest[0] - rest[1]
            size += 1
            if size > self._max_batch or spent_ns + line.at(size) * careful > limit_ns:
                break
            joiners.append(chunk)
        return self._fill(joiners[0], chunks, joiners) if joiners else []

    # ---- load

    def _is_saturated(self) -> bool:
        """Whether chunk after chunk, each step alone, would (nearly) fill the device."""
        load = 0.0
        for lane in self._backlog.lanes.values():
            if lane.shape:
                path = self._backlog.path(lane.shape)
                load += self._load(self._rest(path)[0], lane.period_ns)
        return load >= _SATURATED

    def _batched_ns(self, shape: Shape) -> float:
        """Of one chunk, its steps sharing passes with all there are of its level."""
        steps = shape.steps + sum(
            lane.shape.steps
            for lane in self._backlog.lanes.values()
            if lane.shape and lane.shape.level == shape.level
        )
        size = min(max(steps, 1), self._max_batch)
        total_ns = 0.0
        for kind in self._backlog.path(shape).kinds:
            line = self._latency.line(kind)
            shared = size if kind.stage is Stage.DENOISE else 1
            total_ns += line.at(shared) / shared
        return total_ns

    def _load(self, chunk_ns: float, period_ns: float) -> float:
        return chunk_ns / period_ns


def _urgency(chunk: Chunk) -> float:
    return chunk.urgency_ns


def _could_join(chunk: Chunk, head: Chunk) -> bool:
    """Whether an encode would bring the chunk to where it can share a pass with the head."""
    if chunk.order != 0 or chunk.shape.level != head.shape.level or not chunk.shape.steps:
        return False
    flying = chunk.lane.flying
    return not flying or flying[-1].order > 1


def _limit_ns(chunks: Sequence[Chunk], batch: Sequence[Chunk], alone_ns: float) -> float:
    """How long a pass of `batch` may take without costing a deadline that a smaller one keeps.

    A chunk in the batch has its next stage done by it; one outside has all its own still to do,
    and is lost already if it could not stand even the smallest pass.
    """
    limit_ns = _HOPELESS_NS
    for chunk in chunks:
        if chunk.slack_ns < 0:
            continue
        if chunk in batch:
            limit_ns = min(limit_ns, chunk.slack_ns + alone_ns)
        elif chunk.slack_ns >= alone_ns:
            limit_ns = min(limit_ns, chunk.slack_ns)
    return limit_ns
