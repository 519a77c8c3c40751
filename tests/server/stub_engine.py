"""The engine's own loop in a thread, with a pipeline that computes nothing: it admits by a forecast
that the test gives."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.loop import Loop
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.channel import engine_end, open_pair
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.messages import Ready
from slipstream_server.app import SESSIONS, make_app
from slipstream_server.config import ServerConfig
from slipstream_server.engine.child_process import background
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.http.bodies import HTTP_OPTIONS
from slipstream_server.sessions.registry import SessionRegistry

PASSES = 2  # of a chunk without steps


@dataclass(frozen=True, kw_only=True)
class StubEngines:
    """The provider of the one engine."""

    client: EngineClient

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(state=EngineState.READY, detail="", ready=self.client.ready)

    def require(self) -> EngineClient:
        return self.client

    async def running(self) -> EngineClient:
        return self.client


@dataclass(frozen=True, kw_only=True)
class StubServing:
    """The server, and a client of its HTTP."""

    client: TestClient[Any, Any]
    sessions: SessionRegistry


@contextlib.asynccontextmanager
async def stub_serving(
    page: Path, *, chunk_ms: float, **settings: Any
) -> AsyncIterator[StubServing]:
    """A whole server, by HTTP, on an engine whose chunks are forecast to take so long each."""
    config = ServerConfig(**({"pipeline": "echo"} | settings))
    for name in ("index.html", "view.html", "studio/main.js"):
        (page / name).parent.mkdir(exist_ok=True)
        (page / name).write_text(f"this is {name}")
    with ThreadPoolExecutor(2) as pool:
        async with _engine(pool, chunk_ms=chunk_ms, lanes=config.max_streams) as client:
            app = make_app(config, StubEngines(client=client), pool, page=page)
            server = TestServer(app)
            await server.start_server(**HTTP_OPTIONS)
            async with TestClient(server) as http:
                yield StubServing(client=http, sessions=app[SESSIONS])


@contextlib.asynccontextmanager
async def _engine(
    pool: ThreadPoolExecutor, *, chunk_ms: float, lanes: int
) -> AsyncIterator[EngineClient]:
    pipeline = EchoPipeline(width_px=64, height_px=48)
    ours, theirs = open_pair()
    arena = Arena.create(Layout(geometry=pipeline.geometry, lanes=lanes, in_slots=1, out_slots=2))
    latency = LatencyModel(LinearLatency(base_ns=0, per_item_ns=chunk_ms * NS_PER_MS / PASSES))
    engine_channel = engine_end(theirs)
    loop = Loop(pipeline, engine_channel, arena, latency=latency)
    thread = threading.Thread(target=loop.run)
    thread.start()
    channel = AsyncChannel(ours)
    try:
        ready = await channel.receive()
        assert isinstance(ready, Ready)
        (descriptor,) = channel.take_descriptors(1)
        client = EngineClient.attach(channel, ready, descriptor, pool)
        async with background(client.serve(), name="engine client"):
            yield client
            client.stop()
            await asyncio.to_thread(thread.join)
        client.on_engine_lost("the test is over")
    finally:
        channel.close()
        await asyncio.to_thread(thread.join)
        engine_channel.close()
        arena.close()
