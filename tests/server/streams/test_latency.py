"""How old pictures are when they are shown, with every delay of a camera and an engine scripted."""

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest
from av import VideoFrame
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_protocol.frames import I420, FrameSize, Geometry
from slipstream_protocol.messages import ChunkOut, StageTimes
from slipstream_protocol.parameters import Parameters
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack
from slipstream_server.frames.playout import Playout
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.probe.marker import read_marker
from slipstream_server.receive.camera import CameraIngest
from slipstream_server.send.output_track import PlayoutSource
from slipstream_server.streams.chunk_pipe import ChunkPipe, ChunkPipeOwner

from tests.server.calls import numbered
from tests.server.played_engine import ready_message
from tests.server.scripted_clock import InlineExecutor, run_scripted

GEOMETRY = Geometry(width_px=256, height_px=192, first_chunk_frames=5, chunk_frames=4)
READY = ready_message(geometry=GEOMETRY)
ENGINE_MS = 50.0
SECONDS = 6.0
SETTLED_MS = 2000.0
MAX_SLACK_MS = 30.0  # playout's own, above what chunks and engine must cost


class Camera:
    """Numbered pictures at an exact rate."""

    def __init__(self, fps: int) -> None:
        self.captured_ns: dict[int, int] = {}
        self._fps = fps
        self._began_ns = now_ns()

    async def recv(self) -> VideoFrame:
        number = len(self.captured_ns)
        due_ns = self._began_ns + number * 1_000_000_000 // self._fps
        await asyncio.sleep((due_ns - now_ns()) / 1e9)
        frame = numbered(number)
        frame.pts, frame.time_base = number * 90_000 // self._fps, Fraction(1, 90_000)
        self.captured_ns[number] = now_ns()
        return frame


class TimedEngine:
    """Gives each chunk back as it is after `ENGINE_MS`; one at a time, as client and stream."""

    has_free_slot = True
    closing = False
    alone_ms = 0.0
    ready = READY

    def __init__(self) -> None:
        self._chunks = 0
        self._listener: Any = None

    def close(self) -> None:
        self.closing = True

    async def open(self, parameters: Parameters, listener: Any, promise: Any) -> "TimedEngine":
        self._listener = listener
        return self

    async def submit(self, frames: Sequence[I420], captured_ns: int = 0) -> tuple[int, int]:
        self.has_free_slot = False
        out = ChunkOut(
            lane=0,
            slot=0,
            chunk=self._chunks,
            frames=len(frames),
            rev=-1,
            taken_ns=now_ns(),
            made_ns=now_ns() + round(ENGINE_MS * NS_PER_MS),
            stages=StageTimes(),
            size=FrameSize.of(frames[0]),
        )
        pictures = np.stack(frames)

        def finish() -> None:
            self.has_free_slot = True
            self._listener.on_slot_free()
            self._listener.on_chunk(ChunkBack(out=out, frames_THW=pictures, received_ns=now_ns()))

        asyncio.get_running_loop().call_later(ENGINE_MS / 1e3, finish)
        self._chunks += 1
        return out.chunk, now_ns()


async def shown_ages_ms(fps: int) -> list[float]:
    """From a picture's capture to its turn on the way out, for each that is shown once settled."""
    camera, engine = Camera(fps), TimedEngine()
    began_ns = now_ns()
    monitor = SloMonitor(SloTargets(), offered_ns=began_ns)
    pipe = ChunkPipe("s", READY, monitor, Metrics(), cast(ChunkPipeOwner, None))
    source = PlayoutSource(Playout(chunk_frames=GEOMETRY.chunk_frames))
    pipe.outputs.append(source)
    await pipe.open(cast(EngineClient, engine), Parameters())
    ingest = CameraIngest(camera, size_for=pipe.size_for, pool=InlineExecutor(), on_frame=pipe.push)
    ages: list[float] = []

    async def show() -> None:
        while True:
            scheduled = await source.next_frame()
            number = read_marker(scheduled.generated.frame[: GEOMETRY.height_px])
            assert number is not None
            late_ns = scheduled.generated.captured_ns - camera.captured_ns[number]
            assert abs(late_ns) < NS_PER_MS, "ages that are reported count from the capture"
            ages.append((now_ns() - camera.captured_ns[number]) / NS_PER_MS)
            if now_ns() - began_ns < SETTLED_MS * NS_PER_MS:
                ages.clear()

    parts = (ingest.drain(), ingest.scale(), pipe.feed(), show())
    tasks = [asyncio.create_task(part, name="part") for part in parts]
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError), ended
    return ages


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_no_picture_waits_longer_than_its_chunk_and_the_engine(
    fps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a chunk is collected, generated, and its pictures follow each other at the camera's rate:
    that is the age of each, and playout adds little to it. Every picture is shown, and carries the
    time of its capture."""
    ages_ms = run_scripted(shown_ages_ms(fps), monkeypatch)
    least_ms = (GEOMETRY.chunk_frames - 1) * 1000 / fps + ENGINE_MS
    assert len(ages_ms) >= (SECONDS - SETTLED_MS / 1e3) * fps - 2 * GEOMETRY.chunk_frames
    assert least_ms - 1 <= min(ages_ms)
    assert max(ages_ms) <= least_ms + MAX_SLACK_MS
