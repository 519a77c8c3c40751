"""Devices, cameras and chance in a heap of events: the scheduler's code, without a device. Pure.

Chunks are four frames. A chunk is offered when its last frame is there, or, where the frames wait
for the engine to ask, when it has asked; its age is counted from its first frame, as the SLO
monitor does, and so is its deadline. A chunk that is dropped or late is missed.
"""

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.messages import SlotFree

from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.scheduling.input_credits import CreditQueue
from slipstream_engine.scheduling.latency_model import LinearLatency
from slipstream_engine.scheduling.scheduler import SchedulingPolicy
from slipstream_engine.scheduling.types import (
    Batch,
    ChunkShape,
    MicroStep,
    PassKind,
    Prefetch,
    Stage,
)

_HAND_OVER_NS = 3 * NS_PER_MS  # from asking for a chunk to having it, where its frames are there


class Service(Protocol):
    """How long passes really take."""

    def duration_ns(self, kind: PassKind, items: int, now_ns: int) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDown:
    """From `from_ns` to `to_ns` every pass takes `factor` times as long."""

    from_ns: int
    to_ns: int
    factor: float


class NoisyService:
    """A line per stage, times log-normal noise of mean 1, times whatever slow-down is on.

    Args:
        lines: of each stage.
        noise: standard deviation as a share of the mean.
        slow_down: or None.
        rng: the chance in it.
    """

    def __init__(
        self,
        lines: Mapping[Stage, LinearLatency],
        *,
        noise: float,
        slow_down: SlowDown | None,
        rng: random.Random,
    ) -> None:
        self._lines = lines
        self._noise = noise
        self._slow_down = slow_down
        self._rng = rng

    def duration_ns(self, kind: PassKind, items: int, now_ns: int) -> int:
        sigma = self._noise
        factor = self._rng.lognormvariate(-sigma * sigma / 2, sigma) if sigma else 1.0
        slow = self._slow_down
        if slow and slow.from_ns <= now_ns < slow.to_ns:
            factor *= slow.factor
        return max(1, round(self._lines[kind.stage].at(items) * factor))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCamera:
    """A stream's source.

    Args:
        fps: of its frames.
        phase_ns: when its first chunk is complete.
        jitter_ns: mean of what each chunk comes later than complete; exponential.
        target_ns: oldest age of a chunk that is not missed.
        device: that its chunks are computed on.
        shape: of its chunks.
        is_asked: chunks do not come by themselves; frames wait until one is asked for, and it holds
            frames taken evenly from all that came since the one before it, as the server's chunks.
    """

    fps: float
    phase_ns: int
    jitter_ns: int
    target_ns: int
    device: int
    shape: ChunkShape
    is_asked: bool = False

    @property
    def frame_ns(self) -> float:
        return NS_PER_S / self.fps

    @property
    def period_ns(self) -> int:
        return round(CHUNK_FRAMES * NS_PER_S / self.fps)

    @property
    def collecting_ns(self) -> int:
        """From the first frame of a chunk to its last."""
        return round((CHUNK_FRAMES - 1) * NS_PER_S / self.fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """A chunk's end; `age_ns` is None where it was dropped."""

    stream: int
    chunk: int
    captured_ns: int
    age_ns: int | None
    is_missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPass:
    """One forward pass."""

    device: int
    stage: Stage
    items: int
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All that happened."""

    outcomes: list[ChunkOutcome] = field(default_factory=list)
    passes: list[SimulatedPass] = field(default_factory=list)


@dataclass(slots=True)
class _Chunk:
    """A chunk on its way."""

    stream: int
    number: int
    captured_ns: int
    has_asked: bool = False


@dataclass(slots=True)
class _Arrival:
    """A chunk is complete."""

    chunk: _Chunk


@dataclass(slots=True)
class _End:
    """A pass ends."""

    device: int
    batch: Batch
    started_ns: int


class Simulator:
    """Runs cameras against devices, each under a policy of its own.

    Args:
        policies: one a device.
        services: one a device.
        cameras: stream number `i` comes from the i-th.
        rng: the chance in the arrivals.
    """

    def __init__(
        self,
        policies: Sequence[SchedulingPolicy],
        services: Sequence[Service],
        cameras: Sequence[SimulatedCamera],
        rng: random.Random,
    ) -> None:
        self._policies = policies
        self._services = services
        self._cameras = cameras
        self._rng = rng
        self._events: list[tuple[int, int, _Arrival | _End]] = []
        self._order = 0
        self._running = [False] * len(policies)
        self._turns = [CreditQueue() for _ in policies]
        self._taken = [0] * len(cameras)  # frames of each stream that are in chunks
        self._under_way: dict[tuple[int, int], _Chunk] = {}
        self._trace = Trace()

    def run(self, until_ns: int) -> Trace:
        """Simulate; chunks that are not over by then are left out of the trace."""
        for stream, camera in enumerate(self._cameras):
            self._policies[camera.device].open(stream, period_ns=camera.period_ns)
            if camera.is_asked:
                self._ask(stream, 0, 0)
            else:
                self._await_chunk(stream, 0)
        while self._events and self._events[0][0] <= until_ns:
            now_ns, _, event = heapq.heappop(self._events)
            if isinstance(event, _Arrival):
                device = self._arrive(event.chunk, now_ns)
            else:
                device = self._end(event, now_ns)
            self._start(device, now_ns)
        return self._trace

    def _push(self, at_ns: int, event: _Arrival | _End) -> None:
        self._order += 1  # events of one time happen in the order they were foreseen
        heapq.heappush(self._events, (at_ns, self._order, event))

    def _await_chunk(self, stream: int, number: int) -> None:
        camera = self._cameras[stream]
        complete_ns = camera.phase_ns + number * camera.period_ns
        late_ns = round(self._rng.expovariate(1 / camera.jitter_ns)) if camera.jitter_ns else 0
        chunk = _Chunk(stream, number, complete_ns - camera.collecting_ns)
        self._push(complete_ns + late_ns, _Arrival(chunk))

    def _ask(self, stream: int, number: int, now_ns: int) -> None:
        """The newest frames are wanted as chunk `number`, as soon as there are enough."""
        camera = self._cameras[stream]
        enough_ns = camera.phase_ns + round((self._taken[stream] + 3) * camera.frame_ns)
        chunk = _Chunk(stream, number, 0)
        self._push(max(enough_ns, now_ns) + _HAND_OVER_NS, _Arrival(chunk))

    def _take_frames(self, chunk: _Chunk, now_ns: int) -> None:
        camera, taken = self._cameras[chunk.stream], self._taken[chunk.stream]
        there = int((now_ns - _HAND_OVER_NS - camera.phase_ns) / camera.frame_ns) + 1
        oldest = taken + round((there - taken) / CHUNK_FRAMES) - 1
        chunk.captured_ns = camera.phase_ns + round(oldest * camera.frame_ns)
        self._taken[chunk.stream] = there

    def _arrive(self, chunk: _Chunk, now_ns: int) -> int:
        """Offer a chunk to its device; returns which that is."""
        camera = self._cameras[chunk.stream]
        if camera.is_asked:
            self._take_frames(chunk, now_ns)
        else:
            self._await_chunk(chunk.stream, chunk.number + 1)
        self._under_way[chunk.stream, chunk.number] = chunk
        self._policies[camera.device].offer(
            chunk.stream,
            chunk.number,
            now_ns=now_ns,
            deadline_ns=chunk.captured_ns + camera.target_ns,
            shape=camera.shape,
        )
        return camera.device

    def _end(self, end: _End, now_ns: int) -> int:
        device, batch = end.device, end.batch
        self._running[device] = False
        self._trace.passes.append(
            SimulatedPass(
                device=device,
                stage=batch.kind.stage,
                items=len(batch.items),
                started_ns=end.started_ns,
                ended_ns=now_ns,
            )
        )
        policy = self._policies[device]
        finished = policy.done(batch, started_ns=end.started_ns, ended_ns=now_ns)
        for work in batch.items if batch.kind.stage is Stage.ENCODE else ():
            self._begun(work, policy, now_ns)
        for work in finished:
            chunk = self._under_way[work.stream, work.chunk]
            self._conclude(chunk, now_ns)
            self._made(chunk, policy, now_ns)
        return device

    def _start(self, device: int, now_ns: int) -> None:
        policy = self._policies[device]
        if self._running[device]:
            return
        if batch := policy.next_batch(now_ns):
            self._running[device] = True
            self._give(self._turns[device].due(is_last=policy.is_last(batch)), now_ns)
            kind, items = batch.kind, len(batch.items)
            duration_ns = self._services[device].duration_ns(kind, items, now_ns)
            self._push(now_ns + duration_ns, _End(device, batch, now_ns))
        else:
            self._give(self._turns[device].all_due(), now_ns)
        for dropped in policy.take_dropped():
            chunk = self._under_way[dropped.stream, dropped.chunk]
            self._conclude(chunk, None)
            if self._cameras[chunk.stream].is_asked:
                self._ask(chunk.stream, chunk.number + 1, now_ns)

    def _give(self, slots: Sequence[SlotFree], now_ns: int) -> None:
        for slot in slots:
            self._ask(slot.lane, slot.slot, now_ns)  # the number of the chunk serves as its slot

    def _begun(self, work: MicroStep, policy: SchedulingPolicy, now_ns: int) -> None:
        """A chunk is encoded; its successor may be wanted already."""
        if (
            self._cameras[work.stream].is_asked
            and policy.prefetch(work.stream) is Prefetch.AFTER_ENCODE
        ):
            self._under_way[work.stream, work.chunk].has_asked = True
            self._ask(work.stream, work.chunk + 1, now_ns)

    def _made(self, chunk: _Chunk, policy: SchedulingPolicy, now_ns: int) -> None:
        """A chunk is made; its successor is wanted now or in its turn, if it is not on its way."""
        camera = self._cameras[chunk.stream]
        if not camera.is_asked or chunk.has_asked:
            return
        if policy.prefetch(chunk.stream) is Prefetch.ON_IDLE:
            turns = self._turns[camera.device]
            turns.wait(SlotFree(lane=chunk.stream, slot=chunk.number + 1))
        else:
            self._ask(chunk.stream, chunk.number + 1, now_ns)

    def _conclude(self, chunk: _Chunk, made_ns: int | None) -> None:
        del self._under_way[chunk.stream, chunk.number]
        age_ns = None if made_ns is None else made_ns - chunk.captured_ns
        self._trace.outcomes.append(
            ChunkOutcome(
                stream=chunk.stream,
                chunk=chunk.number,
                captured_ns=chunk.captured_ns,
                age_ns=age_ns,
                is_missed=age_ns is None or age_ns > self._cameras[chunk.stream].target_ns,
            )
        )
