"""Devices, cameras and chance in a heap of events: the scheduler's code, without a device. Pure.

Chunks are four frames. A chunk is offered when its last frame is there; its age is counted from its
first, as the SLO monitor does, and so is its deadline. A chunk that is dropped or late is missed.
"""

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from slipstream_protocol.clock import NS_PER_S

from slipstream_engine.backlog import Batch, Kind, Shape, Stage
from slipstream_engine.latency import Line
from slipstream_engine.scheduler import Policy

CHUNK_FRAMES = 4


class Service(Protocol):
    """How long passes really take."""

    def duration_ns(self, kind: Kind, items: int, now_ns: int) -> int: ...


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
        lines: Mapping[Stage, Line],
        *,
        noise: float,
        slow_down: SlowDown | None,
        rng: random.Random,
    ) -> None:
        self._lines = lines
        self._noise = noise
        self._slow_down = slow_down
        self._rng = rng

    def duration_ns(self, kind: Kind, items: int, now_ns: int) -> int:
        sigma = self._noise
        factor = self._rng.lognormvariate(-sigma * sigma / 2, sigma) if sigma else 1.0
        slow = self._slow_down
        if slow and slow.from_ns <= now_ns < slow.to_ns:
            factor *= slow.factor
        return max(1, round(self._lines[kind.stage].at(items) * factor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A stream's source.

    Args:
        fps: of its frames.
        phase_ns: when its first chunk is complete.
        jitter_ns: mean of what each chunk comes later than complete; exponential.
        target_ns: oldest age of a chunk that is not missed.
        shape: of its chunks.
        device: where its state lives.
    """

    fps: float
    phase_ns: int
    jitter_ns: int
    target_ns: int
    shape: Shape
    device: int = 0

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
class Pass:
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
    passes: list[Pass] = field(default_factory=list)


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
        policies: Sequence[Policy],
        services: Sequence[Service],
        cameras: Sequence[Camera],
        rng: random.Random,
    ) -> None:
        self._policies = policies
        self._services = services
        self._cameras = cameras
        self._rng = rng
        self._events: list[tuple[int, int, int, Batch | None, int]] = []
        self._order = 0
        self._running = [False] * len(policies)
        self._captured_ns: dict[tuple[int, int], int] = {}
        self._trace = Trace()

    def run(self, until_ns: int) -> Trace:
        """Simulate; chunks that are not over by then are left out of the trace."""
        for stream, camera in enumerate(self._cameras):
            self._policies[camera.device].open(stream, period_ns=camera.period_ns)
            self._await_chunk(stream, 0)
        while self._events and self._events[0][0] <= until_ns:
            now_ns, _, index, batch, detail = heapq.heappop(self._events)
            if batch is None:
                device = self._offer(index, detail, now_ns)
            else:
                device = index
                self._end(device, batch, detail, now_ns)
            self._start(device, now_ns)
        return self._trace

    def _push(self, at_ns: int, index: int, batch: Batch | None, detail: int) -> None:
        self._order += 1  # events of one time happen in the order they were foreseen
        heapq.heappush(self._events, (at_ns, self._order, index, batch, detail))

    def _await_chunk(self, stream: int, chunk: int) -> None:
        camera = self._cameras[stream]
        complete_ns = camera.phase_ns + chunk * camera.period_ns
        late_ns = round(self._rng.expovariate(1 / camera.jitter_ns)) if camera.jitter_ns else 0
        self._captured_ns[stream, chunk] = complete_ns - camera.collecting_ns
        self._push(complete_ns + late_ns, stream, None, chunk)

    def _offer(self, stream: int, chunk: int, now_ns: int) -> int:
        camera = self._cameras[stream]
        deadline_ns = self._captured_ns[stream, chunk] + camera.target_ns
        policy = self._policies[camera.device]
        policy.offer(stream, chunk, deadline_ns=deadline_ns, shape=camera.shape)
        self._await_chunk(stream, chunk + 1)
        return camera.device

    def _end(self, device: int, batch: Batch, started_ns: int, now_ns: int) -> None:
        self._running[device] = False
        self._trace.passes.append(
            Pass(
                device=device,
                stage=batch.kind.stage,
                items=len(batch.items),
                started_ns=started_ns,
                ended_ns=now_ns,
            )
        )
        policy = self._policies[device]
        for work in policy.done(batch, started_ns=started_ns, ended_ns=now_ns):
            self._conclude(work.stream, work.chunk, now_ns)

    def _start(self, device: int, now_ns: int) -> None:
        policy = self._policies[device]
        if not self._running[device] and (batch := policy.next_batch(now_ns)):
            self._running[device] = True
            kind, items = batch.kind, len(batch.items)
            duration_ns = self._services[device].duration_ns(kind, items, now_ns)
            self._push(now_ns + duration_ns, device, batch, now_ns)
        for dropped in policy.take_dropped():
            self._conclude(dropped.stream, dropped.chunk, None)

    def _conclude(self, stream: int, chunk: int, made_ns: int | None) -> None:
        captured_ns = self._captured_ns.pop((stream, chunk))
        age_ns = None if made_ns is None else made_ns - captured_ns
        self._trace.outcomes.append(
            ChunkOutcome(
                stream=stream,
                chunk=chunk,
                captured_ns=captured_ns,
                age_ns=age_ns,
                is_missed=age_ns is None or age_ns > self._cameras[stream].target_ns,
            )
        )
