"""Streams on one device under a scripted clock: the server's own chunk pipes and quality control.

The cameras and the device are played: pictures come at an exact rate, and the device generates one
chunk after the other, the stream that was served longest ago first, in the time that its steps
take, whatever slows it down at that moment. Everything between is the server's.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import numpy as np
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns
from slipstream_protocol.frames import I420, FrameSize, Geometry
from slipstream_protocol.messages import (
    Applied,
    ChunkOut,
    OfferedSize,
    StageTimes,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters, Prompt
from slipstream_server.control.events import Event, LevelMoved, LevelQuestion
from slipstream_server.control.update_queue import UpdateQueue
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import Playout
from slipstream_server.ladder.device_share import DeviceShare
from slipstream_server.ladder.settings import LadderSettings
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.send.output_track import PlayoutSource
from slipstream_server.streams.chunk_pipe import ChunkPipe, Participant
from slipstream_server.streams.quality_control import QualityControl

from tests.server.played_engine import ready_message

GEOMETRY = Geometry(width_px=8, height_px=4, first_chunk_frames=5, chunk_frames=4)
LARGE_PX, SMALL_PX = 256, 192  # names of scales; the smaller one's pictures take 0.56 of the time
READY = msgspec.structs.replace(
    ready_message(geometry=GEOMETRY),
    sizes=(
        OfferedSize(size=GEOMETRY.size, scale_px=LARGE_PX, chunk_ms=LARGE_PX**2),
        OfferedSize(size=FrameSize(4, 2), scale_px=SMALL_PX, chunk_ms=SMALL_PX**2),
    ),
)
_WORK = {one.size: one.chunk_ms / READY.sizes[0].chunk_ms for one in READY.sizes}
STEPS = (1000, 750, 500, 250)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTimes:
    """What a chunk takes: codec and one step in ms, and how many times as much at a moment.

    Args:
        slowness: of the seconds since the start.
    """

    codec_ms: float
    step_ms: float
    slowness: Callable[[float], float] = lambda at_s: 1.0
    wobble: Callable[[int], float] = lambda chunk: 1.0


@dataclass(slots=True)
class _Job:
    """A chunk that waits for the device."""

    lane: "PlayedLane"
    frames: list[I420]
    submitted_ns: int


class PlayedDevice:
    """One chunk at a time, of the stream that was served longest ago."""

    def __init__(self, times: DeviceTimes) -> None:
        self._times = times
        self._began_ns = now_ns()
        self._jobs: list[_Job] = []
        self._wake = asyncio.Event()
        self._chunks = 0

    def add(self, job: _Job) -> None:
        self._jobs.append(job)
        self._wake.set()

    async def run(self) -> None:
        while True:
            while not self._jobs:
                self._wake.clear()
                await self._wake.wait()
            job = min(self._jobs, key=lambda one: one.lane.served_ns)
            self._jobs.remove(job)
            await self._generate(job)

    async def _generate(self, job: _Job) -> None:
        times, taken_ns = self._times, now_ns()
        factor = times.slowness((taken_ns - self._began_ns) / NS_PER_S)
        factor *= times.wobble(self._chunks) * _WORK[FrameSize.of(job.frames[0])]
        self._chunks += 1
        codec_ms, denoise_ms = times.codec_ms * factor, times.step_ms * factor * job.lane.steps
        await asyncio.sleep((codec_ms + denoise_ms) / 1000)
        job.lane.served_ns = taken_ns
        stages = StageTimes(encode_ms=codec_ms / 2, denoise_ms=denoise_ms, decode_ms=codec_ms / 2)
        job.lane.finish(job.frames, stages, taken_ns=taken_ns)


class PlayedLane:
    """A stream on the device, as client and engine stream at once."""

    closing = False
    understood = ""
    alone_ms = 0.0
    ready = READY

    def __init__(self, device: PlayedDevice, steps: int) -> None:
        self.steps = steps
        self.served_ns = 0
        self.has_free_slot = True
        self._device = device
        self._listener: Any = None
        self._chunks = 0

    async def open(self, parameters: Parameters, listener: Any, promise: Any) -> "PlayedLane":
        self._listener = listener
        return self

    def close(self) -> None:
        self.closing = True

    def update(self, parameters: Parameters) -> None:
        self.steps = len(parameters.denoising_step_list or ())
        rev = cast(int, parameters.rev)
        applied = Applied(lane=0, rev=rev, chunk=self._chunks)
        asyncio.get_running_loop().call_soon(self._listener.on_applied, applied)

    async def submit(self, frames: Sequence[I420], captured_ns: int = 0) -> tuple[int, int]:
        self.has_free_slot = False
        self._device.add(_Job(self, list(frames), now_ns()))
        self._chunks += 1
        return self._chunks - 1, now_ns()

    def finish(self, frames: Sequence[I420], stages: StageTimes, *, taken_ns: int) -> None:
        out = ChunkOut(
            lane=0,
            slot=0,
            chunk=self._chunks - 1,
            frames=len(frames),
            rev=-1,
            taken_ns=taken_ns,
            made_ns=now_ns(),
            stages=stages,
            size=FrameSize.of(frames[0]),
        )
        back = ChunkBack(out=out, frames_THW=np.stack(frames), received_ns=now_ns())
        self._listener.on_chunk(back)
        self.has_free_slot = True
        self._listener.on_slot_free()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on its way out: when, how old, and by how many steps it was made."""

    at_s: float
    age_ms: float
    steps: int


@dataclass(slots=True, kw_only=True)
class StreamRecord:
    """What became of one stream.

    Args:
        levels: seconds, steps and frame rate (0: the camera's) of every level, from the first on.
    """

    fps: float
    began_s: float
    shown: list[Shown] = field(default_factory=list)
    levels: list[tuple[float, int, float]] = field(default_factory=list)
    moves: list[tuple[float, str]] = field(default_factory=list)
    questions: list[tuple[float, str]] = field(default_factory=list)


class PlayedStream:
    """A camera, the server's own parts, and a viewer.

    Args:
        began_ns: of the whole script.
        steps, size_px: that the stream starts with; `is_own`: by a viewer's choice.
    """

    def __init__(
        self,
        id: str,
        device: PlayedDevice,
        share: DeviceShare,
        settings: LadderSettings,
        *,
        fps: float,
        steps: int,
        is_own: bool,
        age_ms: float,
        size_px: int,
        began_ns: int,
    ) -> None:
        self.lane = PlayedLane(device, steps)
        self._began_ns = began_ns
        self.record = StreamRecord(fps=fps, began_s=self._at_s())
        self.record.levels.append((self._at_s(), steps, 0.0))
        self._fps = fps
        monitor = SloMonitor(SloTargets(age_ms=age_ms), offered_ns=now_ns())
        self.pipe = ChunkPipe(id, READY, monitor, Metrics(), self)
        self.updates = UpdateQueue(
            current=Parameters(denoising_step_list=STEPS[:steps], prompts=(Prompt(""),)),
            apply=self.pipe.update,
            send=self.on_event,
        )
        self.updates.choices += is_own
        self.source = PlayoutSource(Playout(chunk_frames=GEOMETRY.chunk_frames))
        self.pipe.outputs.append(self.source)
        self.pipe.participants.append(Participant(send=self.on_event, end=lambda reason: None))
        self.quality = QualityControl(
            READY,
            self.updates,
            self.pipe,
            settings=settings,
            targets=SloTargets(age_ms=age_ms),
            device=share,
            metrics=Metrics(),
            ask=self.on_event,
            on_given_way=lambda gives_way: None,
        )
        if size_px:
            self.pipe.limit_size(size_px)

    def _at_s(self) -> float:
        return (now_ns() - self._began_ns) / NS_PER_S

    async def run(self) -> None:
        await self.pipe.open(cast(EngineClient, self.lane), self.updates.current)
        async with asyncio.TaskGroup() as tasks:
            for part in (self._film(), self.pipe.feed(), self._show(), self.quality.run()):
                tasks.create_task(part, name="part of a stream")

    async def _film(self) -> None:
        began_ns = now_ns()
        number = 0
        while True:
            due_ns = began_ns + round(number * NS_PER_S / self._fps)
            await asyncio.sleep((due_ns - now_ns()) / NS_PER_S)
            now, number = now_ns(), number + 1
            size = self.pipe.size_for(GEOMETRY.width_px, GEOMETRY.height_px, now)
            picture = np.zeros(GEOMETRY.at(size).frame_shape, np.uint8)
            self.pipe.push(CapturedFrame(frame=picture, captured_ns=now, arrived_ns=now))

    async def _show(self) -> None:
        while True:
            frame = (await self.source.next_frame()).generated
            age_ms = (now_ns() - frame.captured_ns) / NS_PER_MS
            if not frame.repeated_after_ns:
                self.record.shown.append(Shown(self._at_s(), age_ms, self.lane.steps))

    def on_event(self, event: Event) -> None:
        match event:
            case LevelMoved(steps=steps, fps=fps, text=text):
                self.record.levels.append((self._at_s(), steps, fps))
                self.record.moves.append((self._at_s(), text))
            case LevelQuestion(text=text):
                self.record.questions.append((self._at_s(), text))

    # ---- as the owner of its pipe

    def on_applied(self, applied: Applied) -> None:
        self.updates.on_applied(applied)

    def on_update_refused(self, refused: UpdateRefused) -> None:
        raise AssertionError(refused)

    def on_lost(self, reason: str) -> None:
        raise AssertionError(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """A script.

    Args:
        streams: that come one after the other, `apart_s` apart.
        steps: that each starts with; `size_px`: the scale, 0 for the largest.
        is_own: whether by its viewer's choice.
        fps: of the cameras.
        age_ms: promised.
    """

    times: DeviceTimes
    seconds: float
    streams: int = 1
    apart_s: float = 0.0
    steps: int = 4
    is_own: bool = False
    fps: float = 30.0
    age_ms: float = 1000.0
    ladder: str = ""
    floor: str = ""
    size_px: int = 0


async def play(script: Overload) -> list[StreamRecord]:
    """Run it in a loop with a scripted clock; what became of each stream."""
    began_ns, share = now_ns(), DeviceShare()
    device = PlayedDevice(script.times)
    settings = LadderSettings.parse(script.ladder, script.floor)
    running = [asyncio.create_task(device.run(), name="device")]
    streams = []
    for number in range(script.streams):
        stream = PlayedStream(
            f"s{number}",
            device,
            share,
            settings,
            fps=script.fps,
            steps=script.steps,
            is_own=script.is_own,
            age_ms=script.age_ms,
            size_px=script.size_px,
            began_ns=began_ns,
        )
        streams.append(stream)
        running.append(asyncio.create_task(stream.run(), name=f"stream {number}"))
        await asyncio.sleep(script.apart_s)
    await asyncio.sleep(script.seconds - script.streams * script.apart_s)
    for task in running:
        task.cancel()
    for ended in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError), ended
    return [stream.record for stream in streams]
