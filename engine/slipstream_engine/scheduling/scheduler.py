"""Which micro-steps run next: earliest deadline first, batched as far as deadlines allow. Pure.

The order of micro-steps changes no number, for a step depends on its own cache alone; so it is free
to choose, and is chosen anew at each decision:

* The head is the ready micro-step whose chunk has the earliest deadline.
* Others of its kind join its pass, in order of deadline, as long as no chunk that would make its
  deadline with a smaller batch loses it: `L(B)`, from the latency model, must fit every slack.
* With slack the head goes ahead, step after step: the lowest latency. Where one chunk after the
  other would (nearly) fill the device, chunks that wait are encoded first, if every deadline can
  bear it, so that they join the head's steps: the stream batch, and the highest throughput. A chunk
  that has not come is never waited for.
* A chunk is begun only if it and all that are under way will be in time, and dropped as soon as it
  cannot be in time even alone. Once begun it is carried to its end.

Fairness: a stream that at every decision has something ready, or loses a chunk to its deadline, is
part of one of any `patience + streams` batches in a row, whatever the others send.

    scheduler.open(stream, period_ns=...)
    scheduler.offer(stream, chunk, now_ns=..., deadline_ns=..., shape=...)
    while batch := scheduler.next_batch(now_ns):
        ...  # run it
        scheduler.done(batch, started_ns=..., ended_ns=...)
    scheduler.take_dropped()
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream_protocol.clock import NS_PER_MS

from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.queues import Backlog, QueuedChunk, StreamQueue
from slipstream_engine.scheduling.types import (
    Batch,
    ChunkShape,
    DroppedChunk,
    MicroStep,
    Prefetch,
    Stage,
)

MAX_BATCH = 16
PATIENCE_BATCHES = 32
CAUTION = 0.5
_SATURATED = 0.8  # share of the device that running chunk after chunk would take
_FULL = 0.9  # share of the device that may be promised to streams
_WORTHWHILE = 0.05  # share of a lone pass that joining another must save
_SILENT = 4  # gaps without a chunk after which a stream is company to nobody
_BOUNDLESS_NS = 1e20  # beyond any deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether one more stream fits.

    Args:
        load: share of the device that all streams would take, their steps sharing passes.
        reason: why not, for people; None where it fits.
    """

    load: float
    reason: str | None


class SchedulingPolicy(Protocol):
    """What drives a device: the scheduler, and what it is compared with."""

    def open(self, stream: int, *, period_ns: int) -> None: ...
    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None: ...
    def has_room(self, stream: int) -> bool: ...
    def asks(self, stream: int) -> Prefetch: ...
    def is_last(self, batch: Batch) -> bool: ...
    def next_batch(self, now_ns: int) -> Batch | None: ...
    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[MicroStep]: ...
    def take_dropped(self) -> list[DroppedChunk]: ...


class Scheduler:
    """See the module.

    Args:
        latency: learns from every batch that is done.
        max_batch: most micro-steps the device can take in one pass.
        patience: batches that may pass over a stream before it goes first.
        caution: standard deviations of a pass to allow for when deadlines are checked.

    Raises:
        ValueError: if `max_batch` or `patience` is below 1, or `caution` below 0.
    """

    def __init__(
        self,
        latency: LatencyModel,
        *,
        max_batch: int = MAX_BATCH,
        patience: int = PATIENCE_BATCHES,
        caution: float = CAUTION,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch is {max_batch}, it must be at least 1")
        if patience < 1:
            raise ValueError(f"patience is {patience}, it must be at least 1")
        if caution < 0:
            raise ValueError(f"caution is {caution}, it must not be negative")
        self._forecast = Forecast(latency, caution=caution)
        self._max_batch = max_batch
        self._patience = patience
        self._backlog = Backlog()
        self._now_ns = 0  # of the last call that told it

    def open(self, stream: int, *, period_ns: int) -> None:
        """Make room for a stream; see `Backlog.open`."""
        self._backlog.open(stream, period_ns=period_ns)

    def close(self, stream: int) -> None:
        """Forget a stream; see `Backlog.close`."""
        self._backlog.close(stream)

    def hold(self, stream: int) -> None:
        """The stream has no room for output: decode and begin nothing of it."""
        self._backlog.hold(stream)

    def release(self, stream: int) -> None:
        """The stream has room for output again."""
        self._backlog.release(stream)

    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None:
        """A chunk has come; see `Backlog.offer`.

        One that an idle device could not make in time is late, and no drop can help it: it gets
        the deadline of what can be done, and waits for a period at most like any other.
        """
        self._now_ns = now_ns
        path = self._backlog.path(shape)
        least_ns = self._forecast.rest(path)[0].careful_ns
        if self._forecast.is_known(path) and now_ns + least_ns > deadline_ns:
            deadline_ns = round(now_ns + least_ns) + self._backlog.lanes[stream].promised_ns
        self._backlog.offer(stream, chunk, now_ns=now_ns, deadline_ns=deadline_ns, shape=shape)

    def has_room(self, stream: int) -> bool:
        """Whether an offer would replace nothing."""
        return self._backlog.has_room(stream)

    def asks(self, stream: int) -> Prefetch:
        """When the stream's next chunk is wanted; its frames are freshest where they wait.

        Where passes are shared and the device is full, a chunk had better be here: before its elder
        is done if no other stream could share a pass with that, else as soon as that is made.
        """
        lane = self._backlog.lanes[stream]
        shape = lane.shape
        if shape is None or not shape.steps or self._max_batch < 2:
            return Prefetch.IN_TURN
        kind = self._backlog.path(shape).kinds[shape.encode]
        if self._forecast.saves(kind) < _WORTHWHILE or not self._is_saturated():
            return Prefetch.IN_TURN
        for other in self._backlog.lanes.values():
            is_sending = other.shape and other.silent_ns(self._now_ns) < _SILENT * other.gap_ns
            if is_sending and other is not lane:
                return Prefetch.MADE
        return Prefetch.EARLY if shape.steps > 1 else Prefetch.IN_TURN

    def take_dropped(self) -> list[DroppedChunk]:
        """What has been dropped since the last call."""
        return self._backlog.take_dropped()

    def next_batch(self, now_ns: int) -> Batch | None:
        """What to run now, or None where there is nothing."""
        self._now_ns = now_ns
        chunks, ready = self._survey(now_ns)
        ready = self._startable(chunks, ready, now_ns)
        if not ready:
            return None
        head = min(ready, key=_urgency)
        chosen = self._joiners(head, chunks, ready) or self._fill(head, chunks, ready)
        for chunk in chosen:
            chunk.lane.passed_over = 0
        return self._backlog.begin(chosen)

    def is_last(self, batch: Batch) -> bool:
        """Whether nothing is left to run after a batch that is under way; see `Backlog.is_last`."""
        return self._backlog.is_last(batch)

    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[MicroStep]:
        """A batch has run; returns the micro-steps that were a chunk's last, see `Backlog.done`."""
        duration_ns = max(1, ended_ns - started_ns)
        self._forecast.observe(batch.kind, items=len(batch.items), duration_ns=duration_ns)
        return self._backlog.done(batch)

    def admit(self, shape: ChunkShape, *, now_ns: int, period_ns: int) -> Admission:
        """Whether a stream of `shape` chunks every `period_ns` fits beside those that are open.

        One that is paused, or whose camera has stopped, weighs less the longer it sends nothing.
        """
        load = self._shared_ns(shape, shape.steps) / period_ns
        for lane in self._backlog.lanes.values():
            if lane.shape:
                more = shape.steps if lane.shape.level == shape.level else 0
                distance_ns = max(lane.period_ns, lane.silent_ns(now_ns))
                load += self._shared_ns(lane.shape, more) / distance_ns
        if load <= _FULL:
            return Admission(load=load, reason=None)
        alone_ms = self._forecast.rest(self._backlog.path(shape))[0].mean_ns / NS_PER_MS
        reason = (
            f"load would be {load:.0%} of this device, it must be at most {_FULL:.0%} (a chunk "
            f"takes {alone_ms:.0f} ms alone and comes every {period_ns / NS_PER_MS:.0f} ms); "
            "ask for fewer steps or frames, or wait until a viewer leaves"
        )
        return Admission(load=load, reason=reason)

    # ---- the state of things at a decision

    def _survey(self, now_ns: int) -> tuple[list[QueuedChunk], list[QueuedChunk]]:
        """Drop what is overdue, refresh slack and urgency; all chunks, and those that are ready."""
        chunks: list[QueuedChunk] = []
        ready: list[QueuedChunk] = []
        for lane in self._backlog.lanes.values():
            starving = lane.passed_over >= self._patience
            lost = not starving and self._drop_overdue(lane, now_ns)
            for chunk in (*lane.flying, lane.waiting):
                if chunk is not None:
                    rest = self._forecast.rest(chunk.path)[chunk.position]
                    chunk.slack_ns = chunk.deadline_ns - now_ns - rest.careful_ns
                    chunk.urgency_ns = -lane.passed_over if starving else chunk.rank_ns
                    chunks.append(chunk)
            could_run = lane.ready()
            ready += could_run
            lane.passed_over += bool(could_run or lost)
        return chunks, ready

    def _drop_overdue(self, lane: StreamQueue, now_ns: int) -> bool:
        """Drop the chunk that waits if it cannot be in time; returns whether it was."""
        chunk = lane.waiting
        if chunk is None or not self._forecast.is_known(chunk.path):
            return False
        if now_ns + self._forecast.rest(chunk.path)[0].careful_ns <= chunk.deadline_ns:
            return False
        self._backlog.drop_overdue(chunk)
        return True

    def _startable(
        self, chunks: list[QueuedChunk], ready: list[QueuedChunk], now_ns: int
    ) -> list[QueuedChunk]:
        """The ready chunks without those that had better wait.

        A chunk begins only if it and all that are under way would be in time, in order of deadline
        and sharing their steps. What does not begin waits until there is room, a newer one comes
        or it is overdue.
        """
        if all(chunk.is_begun for chunk in ready):
            return ready
        under_way = [chunk for chunk in chunks if chunk.is_begun and not chunk.lane.is_held]
        able: list[QueuedChunk] = []
        for chunk in sorted(ready, key=_urgency):
            if not chunk.is_begun:
                together = [*under_way, chunk]
                if not self._may_begin(chunk, together, now_ns):
                    continue
                under_way = together
            able.append(chunk)
        return able

    def _may_begin(self, chunk: QueuedChunk, together: list[QueuedChunk], now_ns: int) -> bool:
        if _is_starving(chunk) or not self._forecast.is_known(chunk.path):
            return True
        return self._forecast.all_in_time(together, now_ns)

    # ---- the choice

    def _fill(
        self, head: QueuedChunk, chunks: list[QueuedChunk], ready: list[QueuedChunk]
    ) -> list[QueuedChunk]:
        """The head, and as many of its kind as cost no deadline that fewer would keep."""
        kind = head.kind
        peers = [chunk for chunk in ready if chunk.kind is kind and chunk is not head]
        if not peers or self._forecast.saves(kind) < _WORTHWHILE:
            return [head]
        peers.sort(key=_urgency)
        batch = [head, *peers[: self._max_batch - 1]]
        alone_ns = self._forecast.pass_ns(kind, 1)
        while len(batch) > 1:
            if self._forecast.pass_ns(kind, len(batch)) <= _limit_ns(chunks, batch, alone_ns):
                break
            batch.pop()
        return batch

    def _joiners(
        self, head: QueuedChunk, chunks: list[QueuedChunk], ready: list[QueuedChunk]
    ) -> list[QueuedChunk]:
        """Chunks to encode first so that they join the head's steps; none unless saturated."""
        kind = head.kind
        if kind.stage is not Stage.DENOISE or _is_starving(head):
            return []
        waiting = [chunk for chunk in ready if _could_join(chunk, head)]
        if not waiting or self._forecast.saves(kind) < _WORTHWHILE or not self._is_saturated():
            return []
        limit_ns = _limit_ns(chunks, [head], self._forecast.pass_ns(kind, 1))
        size = sum(chunk.kind is kind for chunk in ready)
        spent_ns = 0.0
        joiners: list[QueuedChunk] = []
        for chunk in sorted(waiting, key=_urgency):
            spent_ns += self._forecast.pass_ns(chunk.kind, 1)
            size += 1
            if size > self._max_batch or spent_ns + self._forecast.pass_ns(kind, size) > limit_ns:
                break
            joiners.append(chunk)
        return self._fill(joiners[0], chunks, joiners) if joiners else []

    # ---- load

    def _is_saturated(self) -> bool:
        """Whether chunk after chunk, each step alone, would (nearly) fill the device."""
        load = 0.0
        for lane in self._backlog.lanes.values():
            if lane.shape:
                distance_ns = max(lane.gap_ns, lane.silent_ns(self._now_ns))
                load += self._forecast.shared_ns(self._backlog.path(lane.shape), 1) / distance_ns
        return load >= _SATURATED

    def _shared_ns(self, shape: ChunkShape, more_steps: int) -> float:
        """Of one chunk, its steps sharing passes with all of its level and `more_steps`."""
        steps = more_steps + sum(
            lane.shape.steps
            for lane in self._backlog.lanes.values()
            if lane.shape and lane.shape.level == shape.level
        )
        items = min(max(steps, 1), self._max_batch)
        return self._forecast.shared_ns(self._backlog.path(shape), items)


def _urgency(chunk: QueuedChunk) -> int:
    return chunk.urgency_ns


def _is_starving(chunk: QueuedChunk) -> bool:
    return chunk.urgency_ns < 0


def _could_join(chunk: QueuedChunk, head: QueuedChunk) -> bool:
    """Whether an encode would bring the chunk to where it can share a pass with the head."""
    if chunk.order != 0 or chunk.shape.level != head.shape.level or not chunk.shape.steps:
        return False
    return chunk.lane.is_first_step_free


def _limit_ns(
    chunks: Iterable[QueuedChunk], batch: Sequence[QueuedChunk], alone_ns: float
) -> float:
    """How long a pass of `batch` may take without costing a deadline that a smaller one keeps.

    A chunk in the batch has its next stage done by it; one outside has all its own still to do,
    and is lost already if it could not stand even the smallest pass.
    """
    limit_ns = _BOUNDLESS_NS
    for chunk in chunks:
        if chunk.slack_ns < 0:
            continue
        if chunk in batch:
            limit_ns = min(limit_ns, chunk.slack_ns + alone_ns)
        elif chunk.slack_ns >= alone_ns:
            limit_ns = min(limit_ns, chunk.slack_ns)
    return limit_ns
