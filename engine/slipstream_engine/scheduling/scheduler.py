"""Which micro-steps run next: earliest deadline first, batched as far as deadlines allow. Pure.

The order of micro-steps does not change the frames, for a step depends on its own cache alone; so
the scheduler may choose any order:

* The head is the ready micro-step whose chunk has the earliest deadline.
* Others of its kind join its pass, in order of deadline, as long as no chunk that would make its
  deadline with a smaller batch loses it (`batching.py`).
* With slack the head goes ahead, step after step: the lowest latency. Where one chunk after the
  other would (nearly) fill the device, chunks that wait are encoded first, if every deadline can
  bear it, so that they join the head's steps: the stream batch, and the highest throughput. The
  device never waits for a chunk that has not come.
* A chunk is begun only if it and all in flight will be in time (`deadline_check.py`), and dropped
  as soon as it cannot be in time even alone. Once begun it is carried to its end.

Fairness: a stream that at every decision has something ready, or loses a chunk to its deadline, is
part of one of any `patience + streams` batches in a row, whatever the others send.

    scheduler.open(stream, period_ns=...)
    scheduler.offer(stream, chunk, now_ns=..., deadline_ns=..., shape=...)
    while batch := scheduler.next_batch(now_ns):
        ...  # run it
        scheduler.done(batch, started_ns=..., ended_ns=...)
    scheduler.take_dropped()

Where a model runs on several ranks (`Placement`), each asks `next_batch` for itself, and a pass
over steps is chosen once, for the first rank of its path. After each `done` it goes on, behind
those that came to the next rank before it:

    following = scheduler.onward(batch)  # the same pass at its next rank, None after the last

On a device that works off what it is given, `submitted` and `observe` are the halves of `done`, and
`next_batch` is asked for the time at which the device will be free.
"""

from collections.abc import Collection

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.batching import Batcher, is_starving, urgency
from slipstream_engine.scheduling.capacity import Capacity
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.promises import Admission, Promise, Promises
from slipstream_engine.scheduling.queues import QueuedChunk, StreamQueue
from slipstream_engine.scheduling.types import (
    FIRST_STEP_POSITION,
    ONE_RANK,
    Batch,
    ChunkShape,
    DroppedChunk,
    MicroStep,
    Placement,
    Prefetch,
)

MAX_BATCH = 16
PATIENCE_BATCHES = 32
CAUTION = 0.5


class Scheduler:
    """See the module.

    Args:
        latency: learns from every batch that is done.
        max_batch: most micro-steps the device can take in one pass.
        patience: batches that may pass over a stream before it goes first.
        caution: standard deviations of a pass to allow for when deadlines are checked.
        placement: the ranks of the stages.

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
        placement: Placement = ONE_RANK,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch is {max_batch}, it must be at least 1")
        if patience < 1:
            raise ValueError(f"patience is {patience}, it must be at least 1")
        if caution < 0:
            raise ValueError(f"caution is {caution}, it must not be negative")
        self._forecast = Forecast(latency, caution=caution)
        self._backlog = Backlog(placement)
        self._batcher = Batcher(self._forecast, max_batch=max_batch)
        self._capacity = Capacity(self._backlog, self._forecast, max_batch=max_batch)
        self._promises = Promises(self._backlog, self._forecast, max_batch=max_batch)
        self._max_batch = max_batch
        self._patience = patience
        self._now_ns = 0  # of the last call that passed the time

    def open(self, stream: int, *, period_ns: int) -> None:
        """Add a stream; see `Backlog.open`."""
        self._backlog.open(stream, period_ns=period_ns)

    def close(self, stream: int) -> None:
        """Remove a stream; see `Backlog.close`."""
        self._backlog.close(stream)
        self._promises.forget(stream)

    def admit(
        self, promise: Promise, *, stream: int | None = None, without: Collection[int] = ()
    ) -> Admission:
        """Whether a promise can be kept beside those that were given; see `Promises.admit`."""
        return self._promises.admit(promise, stream=stream, without=without)

    def promise(self, stream: int, promise: Promise) -> None:
        """An open stream is served so from now on, and weighs so much."""
        self._promises.give(stream, promise)
        self._backlog.promise(stream, period_ns=self._promises.entitled_period_ns(promise))

    def promised(self, stream: int) -> Promise | None:
        """What the stream is promised."""
        return self._promises.of(stream)

    def alone_ns(self, shape: ChunkShape) -> float:
        """The forecast time of a chunk that has the device to itself."""
        return self._promises.alone_ns(shape)

    def hold(self, stream: int) -> None:
        """The stream has no free output slot: none of its chunks is begun or decoded."""
        self._backlog.hold(stream)

    def release(self, stream: int) -> None:
        """The stream has a free output slot again."""
        self._backlog.release(stream)

    def offer(
        self, stream: int, chunk: int, *, now_ns: int, deadline_ns: int, shape: ChunkShape
    ) -> None:
        """A chunk has come; see `Backlog.offer`.

        A chunk that even an idle device could not finish in time would only ever be dropped. Its
        deadline is moved: to when an idle device would finish it, and a promised period later.
        """
        self._now_ns = now_ns
        plan = self._backlog.plan(shape)
        least_ns = self._forecast.remaining(plan)[0].cautious_ns
        if self._forecast.is_known(plan) and now_ns + least_ns > deadline_ns:
            deadline_ns = round(now_ns + least_ns) + self._backlog.queues[stream].promised_period_ns
        self._backlog.offer(stream, chunk, now_ns=now_ns, deadline_ns=deadline_ns, shape=shape)

    def has_room(self, stream: int) -> bool:
        """Whether an offer would replace nothing."""
        return self._backlog.has_room(stream)

    def prefetch(self, stream: int) -> Prefetch:
        """When the stream is to send its next chunk.

        Frames stay freshest at the camera, so by default only when the device runs out of work.
        Where passes are shared and the device is full, the next chunk should be on the device
        early, to share passes with the chunk before it or, better, with other streams' chunks. On
        several ranks it should be there early so that none of them waits.
        """
        if self._backlog.placement.ranks > 1:
            is_late = not self._capacity.is_saturated(self._now_ns)
            return Prefetch.ON_IDLE if is_late else Prefetch.AFTER_ENCODE
        shape = self._backlog.queues[stream].shape
        if shape is None or not shape.steps or self._max_batch < 2:
            return Prefetch.ON_IDLE
        step_kind = self._backlog.plan(shape).kinds[FIRST_STEP_POSITION]
        can_share = self._batcher.is_worthwhile(step_kind)
        if not can_share or not self._capacity.is_saturated(self._now_ns):
            return Prefetch.ON_IDLE
        if self._capacity.others_are_sending(stream, self._now_ns):
            return Prefetch.AFTER_OUTPUT
        return Prefetch.AFTER_ENCODE if shape.steps > 1 else Prefetch.ON_IDLE

    def take_dropped(self) -> list[DroppedChunk]:
        """The chunks dropped since the last call."""
        return self._backlog.take_dropped()

    def next_batch(self, now_ns: int, *, rank: int = 0) -> Batch | None:
        """The batch that a rank is to begin now, or None if there is nothing for it to begin."""
        self._now_ns = now_ns
        if rank != self._backlog.placement.encode_rank and not self._backlog.has_ready(rank):
            return None  # chunks that wait are looked at by the rank that would begin them
        chunks, ready = self._survey(now_ns, rank)
        ready = self._startable(chunks, ready, now_ns)
        if not ready:
            return None
        chosen = self._choose(chunks, ready)
        for chunk in chosen:
            chunk.queue.passed_over_batches = 0
        return self._backlog.begin(chosen)

    def onward(self, batch: Batch) -> Batch | None:
        """The next hop of a pass whose hop is done; see `Backlog.onward`."""
        return self._backlog.onward(batch)

    def is_last(self, batch: Batch) -> bool:
        """Whether nothing is left to run after a batch that is under way; see `Backlog.is_last`."""
        return self._backlog.is_last(batch)

    def done(self, batch: Batch, *, started_ns: int, ended_ns: int) -> list[MicroStep]:
        """A batch has run; returns the micro-steps that were a chunk's last, see `Backlog.done`."""
        self.observe(batch, started_ns=started_ns, ended_ns=ended_ns)
        return self.submitted(batch)

    def submitted(self, batch: Batch) -> list[MicroStep]:
        """The device works batches off in order, so what comes after this one may be chosen.

        Returns:
            see `Backlog.done`.
        """
        return self._backlog.done(batch)

    def observe(self, batch: Batch, *, started_ns: int, ended_ns: int) -> None:
        """Learn how long a batch took."""
        duration_ns = max(1, ended_ns - started_ns)
        self._forecast.observe(batch.kind, items=len(batch.items), duration_ns=duration_ns)

    def _survey(self, now_ns: int, rank: int) -> tuple[list[QueuedChunk], list[QueuedChunk]]:
        """Drop overdue chunks, refresh slack and urgency.

        Returns:
            all chunks, and those whose next stage could run on the rank.
        """
        chunks: list[QueuedChunk] = []
        ready: list[QueuedChunk] = []
        for queue in self._backlog.queues.values():
            goes_first = queue.passed_over_batches >= self._patience
            has_lost = not goes_first and self._drop_overdue(queue, now_ns)
            for chunk in queue.chunks:
                remaining = self._forecast.remaining(chunk.plan)[chunk.position]
                chunk.slack_ns = chunk.deadline_ns - now_ns - remaining.cautious_ns
                chunk.urgency_ns = chunk.paced_deadline_ns
                if goes_first:
                    chunk.urgency_ns = -queue.passed_over_batches
                chunks.append(chunk)
            could_run = [chunk for chunk in queue.ready() if chunk.rank == rank]
            ready += could_run
            queue.passed_over_batches += bool(could_run or has_lost)
        return chunks, ready

    def _drop_overdue(self, queue: StreamQueue, now_ns: int) -> bool:
        """Drop the chunk that waits if it cannot be in time; returns whether it was dropped."""
        chunk = queue.waiting
        if chunk is None or not self._forecast.is_known(chunk.plan):
            return False
        if now_ns + self._forecast.remaining(chunk.plan)[0].cautious_ns <= chunk.deadline_ns:
            return False
        self._backlog.drop_overdue(chunk)
        return True

    def _startable(
        self, chunks: list[QueuedChunk], ready: list[QueuedChunk], now_ns: int
    ) -> list[QueuedChunk]:
        """The ready chunks, without those that should not be begun yet.

        A chunk begins only if it and all in flight would be in time, in order of deadline and
        sharing their steps. One that does not begin waits until there is room, a newer one comes
        or it is overdue.
        """
        if all(chunk.is_begun for chunk in ready):
            return ready
        in_flight = [chunk for chunk in chunks if chunk.is_begun and not chunk.queue.is_held]
        startable: list[QueuedChunk] = []
        for chunk in sorted(ready, key=urgency):
            if not chunk.is_begun:
                together = [*in_flight, chunk]
                if self._capacity.is_full(chunk.plan, len(in_flight)):
                    continue
                if not self._may_begin(chunk, together, now_ns):
                    continue
                in_flight = together
            startable.append(chunk)
        return startable

    def _may_begin(self, chunk: QueuedChunk, together: list[QueuedChunk], now_ns: int) -> bool:
        if is_starving(chunk) or not self._forecast.is_known(chunk.plan):
            return True
        return self._forecast.all_in_time(together, now_ns)

    def _choose(self, chunks: list[QueuedChunk], ready: list[QueuedChunk]) -> list[QueuedChunk]:
        """The members of the next pass."""
        head = min(ready, key=urgency)
        joiners = self._batcher.encode_first(head, chunks, ready)
        if joiners and self._capacity.is_saturated(self._now_ns):
            return joiners
        return self._batcher.fill(head, chunks, ready)
