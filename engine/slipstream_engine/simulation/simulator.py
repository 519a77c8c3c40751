"""Devices, cameras and viewers in a heap of events: the scheduler's code without a device. Pure.

A device may be several ranks: each works off what comes to it in order, and a pass over denoising
steps goes from rank to rank. Chunks are of `CHUNK_FRAMES` frames. A chunk is offered when its last
frame is captured or, where frames wait at the camera, when its stream has a credit for it. Its age
is counted from its first frame, as the SLO monitor does, and so is its deadline. A chunk that is
dropped or late is missed.
"""

import heapq
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from slipstream_engine.scheduling.flow_control import FlowControl
from slipstream_engine.scheduling.input_credits import Credit
from slipstream_engine.scheduling.policy import SchedulingPolicy
from slipstream_engine.scheduling.types import (
    ONE_RANK,
    Batch,
    DroppedChunk,
    MicroStep,
    Placement,
    Stage,
)
from slipstream_engine.simulation.camera import (
    HAND_OVER_NS,
    SimulatedCamera,
    SimulatedChunk,
    SimulatedStream,
)
from slipstream_engine.simulation.service_time import Service
from slipstream_engine.simulation.trace import ChunkOutcome, SimulatedPass, Trace

OUTPUT_SLOTS = 2  # of each stream, as the engine's
_ONLY_SLOT = 0  # each stream has one input slot


@dataclass(slots=True)
class _Arrival:
    """A chunk arrives at its device."""

    chunk: SimulatedChunk


@dataclass(slots=True)
class _PassEnd:
    """A pass ends on a rank."""

    device: int
    batch: Batch
    started_ns: int


@dataclass(slots=True)
class _HopArrival:
    """A pass arrives at its next rank."""

    device: int
    batch: Batch


@dataclass(slots=True)
class _OutputRead:
    """A viewer has read a finished chunk."""

    stream: int


_Event = _Arrival | _PassEnd | _HopArrival | _OutputRead


@dataclass(slots=True)
class _Rank:
    """Runs one pass at a time; those that came from other ranks wait in order."""

    arrived: deque[Batch] = field(default_factory=deque)
    is_running: bool = False


@dataclass(slots=True)
class _Device:
    """One or several ranks, under a policy of their own."""

    policy: SchedulingPolicy
    service: Service
    flow: FlowControl
    ranks: list[_Rank]


class Simulator:
    """Runs cameras against devices.

    Args:
        policies: one a device.
        services: one a device.
        cameras: stream number `i` comes from the i-th.
        rng: draws the jitter of arrivals.
        placement: the ranks of each device.
        hop_ns: that a pass takes from one rank to the next.
    """

    def __init__(
        self,
        policies: Sequence[SchedulingPolicy],
        services: Sequence[Service],
        cameras: Sequence[SimulatedCamera],
        rng: random.Random,
        *,
        placement: Placement = ONE_RANK,
        hop_ns: int = 0,
    ) -> None:
        self._placement = placement
        self._hop_ns = hop_ns
        self._devices = [
            _Device(policy, service, FlowControl(policy), [_Rank() for _ in range(placement.ranks)])
            for policy, service in zip(policies, services, strict=True)
        ]
        self._streams = [SimulatedStream(camera, number) for number, camera in enumerate(cameras)]
        self._rng = rng
        self._events: list[tuple[int, int, _Event]] = []
        self._event_count = 0
        self._chunks: dict[
            tuple[int, int], SimulatedChunk
        ] = {}  # those not over, by stream and number
        self._trace = Trace()

    def run(self, until_ns: int) -> Trace:
        """Simulate; chunks that are not over by then are left out of the trace."""
        for stream in self._streams:
            camera = stream.camera
            self._devices[camera.device].policy.open(stream.number, period_ns=camera.period_ns)
            if camera.waits_for_credit:
                self._send_on_credit(stream, now_ns=0)
            else:
                self._send_when_complete(stream)
        while self._events and self._events[0][0] <= until_ns:
            now_ns, _, event = heapq.heappop(self._events)
            match event:
                case _Arrival():
                    device = self._arrive(event.chunk, now_ns)
                case _PassEnd():
                    device = self._end_pass(event, now_ns)
                case _HopArrival():
                    device = self._arrive_at_rank(event)
                case _OutputRead():
                    device = self._read_output(event.stream)
            self._start_passes(device, now_ns)
        return self._trace

    def _push(self, at_ns: int, event: _Event) -> None:
        self._event_count += 1  # events of one time happen in the order they were pushed
        heapq.heappush(self._events, (at_ns, self._event_count, event))

    # ---- cameras

    def _send_when_complete(self, stream: SimulatedStream) -> None:
        """The stream's next chunk arrives when its frames are captured, and its jitter later."""
        camera = stream.camera
        chunk = stream.next_chunk()
        complete_ns = stream.complete_ns(chunk)
        late_ns = round(self._rng.expovariate(1 / camera.jitter_ns)) if camera.jitter_ns else 0
        chunk.captured_ns = complete_ns - camera.collecting_ns
        self._push(complete_ns + late_ns, _Arrival(chunk))

    def _send_on_credit(self, stream: SimulatedStream, now_ns: int) -> None:
        """The stream's next chunk arrives as soon as enough new frames are captured."""
        arrival_ns = max(stream.enough_ns(), now_ns) + HAND_OVER_NS
        self._push(arrival_ns, _Arrival(stream.next_chunk()))

    def _grant(self, granted: Iterable[Credit], now_ns: int) -> None:
        """Let those streams send that wait for a credit; the others do so by themselves."""
        for credit in granted:
            stream = self._streams[credit.stream]
            if stream.camera.waits_for_credit:
                self._send_on_credit(stream, now_ns)

    # ---- events; each returns the device that it concerns

    def _arrive(self, chunk: SimulatedChunk, now_ns: int) -> int:
        stream = self._streams[chunk.stream]
        camera = stream.camera
        if camera.waits_for_credit:
            stream.pick_frames(chunk, now_ns)
        else:
            self._send_when_complete(stream)
        self._chunks[chunk.stream, chunk.number] = chunk
        device = self._devices[camera.device]
        device.flow.occupy(chunk.stream, chunk.number, _ONLY_SLOT)
        device.policy.offer(
            chunk.stream,
            chunk.number,
            now_ns=now_ns,
            deadline_ns=chunk.captured_ns + camera.target_ns,
            shape=camera.shape,
        )
        return camera.device

    def _end_pass(self, end: _PassEnd, now_ns: int) -> int:
        device, batch = self._devices[end.device], end.batch
        device.ranks[batch.rank].is_running = False
        self._trace.passes.append(
            SimulatedPass(
                device=end.device,
                stage=batch.kind.stage,
                items=len(batch.items),
                started_ns=end.started_ns,
                ended_ns=now_ns,
                rank=batch.rank,
            )
        )
        device.policy.done(batch, started_ns=end.started_ns, ended_ns=now_ns)
        if following := device.policy.onward(batch):
            self._push(now_ns + self._hop_ns, _HopArrival(end.device, following))
            return end.device
        for item in batch.items:
            if item.stage is Stage.ENCODE:
                self._grant(device.flow.on_encoded(item.stream, item.chunk), now_ns)
            elif item.stage is Stage.DECODE:
                self._finish(device, item, now_ns)
        return end.device

    def _arrive_at_rank(self, hop: _HopArrival) -> int:
        self._devices[hop.device].ranks[hop.batch.rank].arrived.append(hop.batch)
        return hop.device

    def _read_output(self, number: int) -> int:
        stream = self._streams[number]
        stream.unread_outputs -= 1
        self._devices[stream.camera.device].flow.on_output_read(number)
        return stream.camera.device

    # ---- passes

    def _start_passes(self, number: int, now_ns: int) -> None:
        """Begin the next pass of each rank that runs none and has one."""
        device = self._devices[number]
        for index, rank in enumerate(device.ranks):
            if rank.is_running:
                continue
            if rank.arrived:
                self._run(number, rank.arrived.popleft(), now_ns)
                continue
            batch = device.policy.next_batch(now_ns, rank=index)
            if batch is not None or index == self._placement.encode_rank:
                self._grant(device.flow.credits_before(batch), now_ns)
            if batch is not None:
                self._run(number, batch, now_ns)
        for dropped in device.policy.take_dropped():
            self._drop(device, dropped, now_ns)

    def _run(self, number: int, batch: Batch, now_ns: int) -> None:
        device = self._devices[number]
        device.ranks[batch.rank].is_running = True
        duration_ns = device.service.duration_ns(batch.kind, len(batch.items), now_ns)
        self._push(now_ns + duration_ns, _PassEnd(number, batch, now_ns))

    def _finish(self, device: _Device, item: MicroStep, now_ns: int) -> None:
        """A chunk is decoded: it is over, and lies in an output slot until it is read."""
        self._conclude(item.stream, item.chunk, now_ns)
        stream = self._streams[item.stream]
        if stream.camera.read_ns:
            stream.unread_outputs += 1
            self._push(now_ns + stream.camera.read_ns, _OutputRead(item.stream))
        has_output_room = stream.unread_outputs < OUTPUT_SLOTS
        granted = device.flow.on_output(item.stream, item.chunk, has_output_room=has_output_room)
        self._grant(granted, now_ns)

    def _drop(self, device: _Device, dropped: DroppedChunk, now_ns: int) -> None:
        self._conclude(dropped.stream, dropped.chunk, None)
        self._grant([device.flow.on_dropped(dropped.stream, dropped.chunk)], now_ns)

    def _conclude(self, stream: int, number: int, finished_ns: int | None) -> None:
        chunk = self._chunks.pop((stream, number))
        age_ns = None if finished_ns is None else finished_ns - chunk.captured_ns
        target_ns = self._streams[stream].camera.target_ns
        self._trace.outcomes.append(
            ChunkOutcome(
                stream=stream,
                chunk=number,
                captured_ns=chunk.captured_ns,
                age_ns=age_ns,
                is_missed=age_ns is None or age_ns > target_ns,
            )
        )
