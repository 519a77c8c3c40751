"""One stream between camera and engine: what becomes of a chunk the engine gives up."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from msgspec import structs
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.messages import (
    Applied,
    ChunkOut,
    OfferedSize,
    StageTimes,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack
from slipstream_server.errors import EngineUnavailable
from slipstream_server.frames.chunker import REPEAT_AFTER_NS
from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.streams.chunk_pipe import ChunkPipe, ChunkPipeOwner

from tests.server.observability.test_metrics import samples
from tests.server.played_engine import ready_message
from tests.server.stamped import GEOMETRY, captured_frame, ms

READY = ready_message(geometry=GEOMETRY, out_slots=1)


class TakingEngine:
    """Takes every chunk and answers nothing; stands for the client and for its stream."""

    has_free_slot = True
    closing = False
    alone_ms = 0.0
    ready = READY

    def __init__(self) -> None:
        self.taken = asyncio.Event()
        self.captured_ns = 0  # of the newest chunk

    def close(self) -> None:
        self.closing = True

    async def open(self, parameters: Parameters, listener: Any, promise: Any) -> "TakingEngine":
        return self

    async def submit(self, frames: Sequence[I420], captured_ns: int = 0) -> tuple[int, int]:
        self.captured_ns = captured_ns
        self.taken.set()
        return 0, 0


class FailingEngine(TakingEngine):
    """Fails at a stream as soon as it is open."""

    async def open(self, parameters: Parameters, listener: Any, promise: Any) -> "TakingEngine":
        listener.on_lost("failed")
        return self


class PipeOwner:
    """Keeps the events that are not frames."""

    def __init__(self) -> None:
        self.applied: list[Applied] = []
        self.lost: list[str] = []

    def on_applied(self, applied: Applied) -> None:
        self.applied.append(applied)

    def on_update_refused(self, refused: UpdateRefused) -> None:
        raise AssertionError(refused)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


class NotedModel(SloMonitor):
    """Keeps what the model makes."""

    def __init__(self, targets: SloTargets, *, offered_ns: int) -> None:
        super().__init__(targets, offered_ns=offered_ns)
        self.model_fps: list[float | None] = []

    def observe_model(self, *, fps: float | None) -> None:
        self.model_fps.append(fps)


async def test_a_chunk_given_up_is_counted_everywhere() -> None:
    """as dropped frames under its cause, as a miss of the stream, and as a miss of the server."""
    monitor, metrics = SloMonitor(SloTargets(), offered_ns=0), Metrics()
    chunk_pipe = ChunkPipe("s", READY, monitor, metrics, cast(ChunkPipeOwner, None))
    engine = TakingEngine()
    await chunk_pipe.open(cast(EngineClient, engine), Parameters())
    for n in range(GEOMETRY.first_chunk_frames):
        chunk_pipe.push(captured_frame(n * 30))
    feeding = asyncio.create_task(chunk_pipe.feed())
    async with asyncio.timeout(10):
        await engine.taken.wait()
    chunk_pipe.on_dropped(0)
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    assert chunk_pipe.drops["deadline"] == GEOMETRY.first_chunk_frames
    assert samples(metrics)["slipstream_chunk_misses_total"] == 1
    assert samples(metrics)["slipstream_chunks_total"] == 1
    assert monitor.report(now_ns()).miss_ratio == 1.0


async def test_as_many_pictures_are_due_as_the_model_makes_at_their_size() -> None:
    """smaller ones take less time, and a stream that has come to them owes more of the camera's."""
    small = FrameSize(GEOMETRY.width_px // 2, GEOMETRY.height_px)
    ready = structs.replace(
        READY,
        sizes=(
            OfferedSize(size=GEOMETRY.size, scale_px=64, chunk_ms=100.0),
            OfferedSize(size=small, scale_px=32, chunk_ms=40.0),
        ),
    )
    due = NotedModel(SloTargets(), offered_ns=0)
    pipe = ChunkPipe("s", ready, due, Metrics(), cast(ChunkPipeOwner, PipeOwner()))
    engine = TakingEngine()
    engine.alone_ms = 200.0
    await pipe.open(cast(EngineClient, engine), Parameters())
    picture = replace(captured_frame(0), frame=np.zeros(small.frame_shape, np.uint8))
    pipe.push(picture)
    pipe.push(picture)
    pipe.on_applied(Applied(lane=0, rev=1, chunk=0, alone_ms=160.0))
    pipe.push(captured_frame(1))
    pipe.on_lost("killed")
    await pipe.open(cast(EngineClient, engine), Parameters())
    frames = GEOMETRY.chunk_frames * 1000
    alone_ms = (200, 200 * 0.4, 160, 160 / 0.4, 200)
    assert due.model_fps == [pytest.approx(frames / each) for each in alone_ms]


async def test_frames_from_before_a_hold_are_not_in_the_chunk_after_it() -> None:
    """nor are those from before a pause: what is generated then begins with what comes then."""
    for stop in (ChunkPipe.hold, ChunkPipe.pause):
        pipe = ChunkPipe(
            "s",
            READY,
            SloMonitor(SloTargets(), offered_ns=0),
            Metrics(),
            cast(ChunkPipeOwner, None),
        )
        engine = TakingEngine()
        await pipe.open(cast(EngineClient, engine), Parameters())
        began_ms = now_ns() / 1e6
        for n in range(GEOMETRY.first_chunk_frames - 1):
            pipe.push(captured_frame(began_ms + n))
        stop(pipe, True)
        stop(pipe, False)
        feeding = asyncio.create_task(pipe.feed())
        begin_ms = (
            began_ms + GEOMETRY.first_chunk_frames
        )  # the next picture, as if nothing had been
        for n in range(GEOMETRY.first_chunk_frames):
            assert not engine.taken.is_set()
            pipe.push(captured_frame(begin_ms + n))
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await engine.taken.wait()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        assert engine.captured_ns == ms(begin_ms)


async def test_chunks_are_numbered_on_after_a_lane_that_failed_at_once() -> None:
    """an engine that generated nothing adds nothing to the numbers."""
    owner = PipeOwner()
    pipe = ChunkPipe("s", READY, SloMonitor(SloTargets(), offered_ns=0), Metrics(), owner)
    await pipe.open(cast(EngineClient, TakingEngine()), Parameters())
    pipe.epoch_chunks = 5
    pipe.on_lost("killed")
    with pytest.raises(EngineUnavailable, match="failed"):
        await pipe.open(cast(EngineClient, FailingEngine()), Parameters())
    await pipe.open(cast(EngineClient, TakingEngine()), Parameters())
    pipe.on_applied(Applied(lane=0, rev=1, chunk=2))
    assert owner.lost == ["killed", "failed"]
    assert [applied.chunk for applied in owner.applied] == [7]
    assert pipe.epoch == 2


class AnsweringEngine(TakingEngine):
    """Gives each chunk back as it is, at once."""

    async def open(self, parameters: Parameters, listener: Any, promise: Any) -> "TakingEngine":
        self._listener = listener
        self._chunks = 0
        return self

    async def submit(self, frames: Sequence[I420], captured_ns: int = 0) -> tuple[int, int]:
        await super().submit(frames, captured_ns)
        out = ChunkOut(
            lane=0,
            slot=0,
            chunk=self._chunks,
            frames=len(frames),
            rev=-1,
            taken_ns=now_ns(),
            made_ns=now_ns(),
            stages=StageTimes(),
            size=FrameSize.of(frames[0]),
        )
        back = ChunkBack(out=out, frames_THW=np.stack(frames), received_ns=now_ns())
        asyncio.get_running_loop().call_soon(self._listener.on_chunk, back)
        self._chunks += 1
        return out.chunk, now_ns()


class Shown:
    """Keeps what was generated."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[GeneratedFrame] = asyncio.Queue()

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        for frame in frames:
            self.frames.put_nowait(frame)


async def test_a_still_picture_goes_on_once_and_is_then_repeated() -> None:
    """one frame and no other: it fills a chunk, comes out as one frame, and later as one that is
    held; none of its repetitions counts as sent, dropped or missed."""
    monitor, metrics = SloMonitor(SloTargets(), offered_ns=0), Metrics()
    pipe = ChunkPipe("s", READY, monitor, metrics, cast(ChunkPipeOwner, None))
    shown = Shown()
    pipe.outputs.append(shown)
    await pipe.open(cast(EngineClient, AnsweringEngine()), Parameters())
    feeding = asyncio.create_task(pipe.feed())
    pipe.push(captured_frame(now_ns() / 1e6))
    async with asyncio.timeout(10):
        first, second = await shown.frames.get(), await shown.frames.get()
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    assert first.captured_ns == second.captured_ns
    assert (first.repeated_after_ns, first.index) == (0, GEOMETRY.first_chunk_frames - 1)
    assert second.repeated_after_ns >= REPEAT_AFTER_NS
    assert sum(pipe.drops.values()) == 0
    assert samples(metrics)["slipstream_chunk_misses_total"] == 0
