"""An engine that lives but answers nothing any more is killed, and the next one serves."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from slipstream_protocol.clock import now_ns
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters
from slipstream_server.config import ServerConfig
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack, EngineStream
from slipstream_server.engine.supervisor import Supervisor, engine_command
from slipstream_server.engine_status import EngineState

from tests.server.serving import poll

ECHO = engine_command(ServerConfig(pipeline="echo"))

# a real engine but for its pipeline, which never comes back from the chunk numbered 2
ASLEEP = """
import argparse, itertools, socket, time
from slipstream_engine.serving.echo import EchoPipeline, EchoStream
from slipstream_engine.serving.loop import Loop
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import engine_end

class Sleeper(EchoStream):
    def __init__(self, parameters):
        super().__init__(parameters)
        self.chunks = itertools.count()

    def encode(self, frames_THW):
        if next(self.chunks) == 2:
            time.sleep(600)
        return super().encode(frames_THW)

class Pipeline(EchoPipeline):
    def open(self, parameters):
        return Sleeper(parameters)

parser = argparse.ArgumentParser()
parser.add_argument("--channel-fd", type=int)
channel = engine_end(socket.socket(fileno=parser.parse_known_args()[0].channel_fd))
pipeline = Pipeline(width_px=32, height_px=16)
arena = Arena.create(Layout(geometry=pipeline.geometry, lanes=1, in_slots=1, out_slots=2))
Loop(pipeline, channel, arena).run()
"""


@dataclass
class Listener:
    """A stream's listener; keeps the chunks and the reason of the end."""

    back: list[ChunkBack] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def on_slot_free(self) -> None: ...
    def on_dropped(self, chunk: int) -> None: ...
    def on_applied(self, applied: Applied) -> None: ...
    def on_update_refused(self, refused: UpdateRefused) -> None: ...
    def on_chunk(self, back: ChunkBack) -> None:
        self.back.append(back)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


@asynccontextmanager
async def supervised(command: Sequence[str]) -> AsyncIterator[Supervisor]:
    with ThreadPoolExecutor(1) as pool:
        supervisor = Supervisor(command, pool)
        running = asyncio.create_task(supervisor.run())
        try:
            await poll(lambda: supervisor.status.state is EngineState.READY)
            yield supervisor
        finally:
            supervisor.stop()
            await running


async def submit(stream: EngineStream, client: EngineClient) -> None:
    await poll(lambda: stream.has_free_slot)
    rows, columns = client.ready.geometry.frame_shape
    frame = np.zeros((rows, columns), dtype=np.uint8)
    frames = client.ready.geometry.chunk_frames
    await stream.submit([frame] * frames, captured_ns=now_ns())


async def hangs(supervisor: Supervisor, listener: Listener, pid: int) -> None:
    """The stream is told why, the process is gone, and the next one serves."""
    await poll(lambda: bool(listener.lost))
    assert listener.lost[0].startswith(
        "the engine hangs: 1 answers are due and it has sent nothing"
    )
    await poll(lambda: supervisor.status.state is EngineState.READY)
    assert supervisor.status.pid not in (None, pid) and supervisor.status.restarts == 1
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    raise AssertionError("the engine that hangs is still there")


async def test_a_stopped_engine_is_killed() -> None:
    """SIGSTOP leaves process and channel as they are; it is noticed by a chunk that does not come,
    and not before: an engine without work may be silent."""
    async with supervised(ECHO) as supervisor:
        client, listener = supervisor.require(), Listener()
        stream = await client.open(Parameters(), listener)
        for chunks in (1, 2, 3):
            await submit(stream, client)
            await poll(lambda chunks=chunks: len(listener.back) == chunks)  # type: ignore[misc]
        pid = supervisor.status.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await submit(stream, client)
        await hangs(supervisor, listener, pid)
        again = Listener()
        stream = await supervisor.require().open(Parameters(), again)
        await submit(stream, supervisor.require())
        await poll(lambda: len(again.back) == 1)


async def test_an_engine_that_never_comes_back_from_a_chunk_is_killed() -> None:
    """a model or a driver may sleep for ever; SIGTERM would not wake it either."""
    async with supervised([sys.executable, "-c", ASLEEP]) as supervisor:
        client, listener = supervisor.require(), Listener()
        pid = supervisor.status.pid
        assert pid is not None
        stream = await client.open(Parameters(), listener)
        for _ in range(3):
            await submit(stream, client)
        await hangs(supervisor, listener, pid)
        assert len(listener.back) == 2
