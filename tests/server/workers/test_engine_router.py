"""workers/engine_router.py, with an engine and workers whose parts the test plays."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from slipstream_protocol.async_channel import AsyncChannel, to_engine
from slipstream_protocol.channel import open_pair
from slipstream_protocol.messages import (
    CloseStream,
    OpenStream,
    Stop,
    StreamClosed,
    StreamOpened,
    ToEngine,
    ToServer,
)
from slipstream_protocol.parameters import Parameters
from slipstream_server.errors import Unavailable
from slipstream_server.workers.engine_router import EngineRouter
from slipstream_server.workers.pool import Worker
from slipstream_server.workers.protocol import EngineConnected, EngineDisconnected, WorkerMessage

from tests.server.played_engine import ready_message
from tests.server.serving import poll

RECEIVE_S = 10.0
READY = ready_message(lanes=4)


class PlayedWorker:
    """In place of a real one: what it receives, and its end of its channel to the engine."""

    def __init__(self, index: int, *, is_up: bool = True, answers: bool = True) -> None:
        self.index = index
        self.name = f"media worker {index}"
        self.is_up = is_up
        self.answers = answers
        self.lanes: tuple[int, ...] = ()
        self.lost: list[str] = []
        self.ended: list[str] = []
        self.channel: AsyncChannel[ToServer] | None = None

    def send(self, message: WorkerMessage, descriptors: Sequence[int] = ()) -> None:
        match message:
            case EngineConnected(lanes=lanes):
                self.lanes = lanes
                self.channel = to_engine(socket.socket(fileno=os.dup(descriptors[0])))
            case EngineDisconnected(reason=reason):
                self.lost.append(reason)

    def disconnect(self, reason: str) -> None:
        self.ended.append(reason)

    async def refresh(self) -> None:
        if not self.answers:
            raise Unavailable("it is gone", retry_after_s=1.0)

    def send_to_engine(self, message: ToEngine) -> None:
        assert self.channel is not None
        self.channel.send(message)

    async def receive(self) -> ToServer:
        assert self.channel is not None
        async with asyncio.timeout(RECEIVE_S):
            return await self.channel.receive()

    def die(self) -> None:
        assert self.channel is not None
        self.channel.close()


ENGINE_LOST = "the engine was ended by SIGKILL"


class Played:
    """A router, and the engine's end of its channel."""

    def __init__(self, router: EngineRouter, engine: AsyncChannel[ToEngine]) -> None:
        self.router = router
        self._engine = engine

    def send_from_engine(self, message: ToServer) -> None:
        self._engine.send(message)

    async def receive(self) -> ToEngine:
        async with asyncio.timeout(RECEIVE_S):
            return await self._engine.receive()

    def disconnect_worker(self, worker: PlayedWorker) -> None:
        self.router.disconnect_worker(cast(Worker, worker))

    def connect_worker(self, worker: PlayedWorker) -> None:
        self.router.connect_worker(cast(Worker, worker))


@asynccontextmanager
async def played(*workers: PlayedWorker) -> AsyncIterator[Played]:
    ours, theirs = open_pair()
    channel = to_engine(ours)
    engine = AsyncChannel[ToEngine](theirs, ToEngine, other="the router")
    memory = os.memfd_create("played") if hasattr(os, "memfd_create") else os.dup(0)
    router = EngineRouter(channel, READY, memory, cast(list[Worker], list(workers)))
    serving = asyncio.create_task(router.serve())
    await asyncio.sleep(0)
    try:
        yield Played(router, engine)
    finally:
        engine.close()
        assert await serving is None
        router.on_engine_lost(ENGINE_LOST)
        channel.close()
        for worker in workers:
            assert worker.lost == [ENGINE_LOST]
            if worker.channel is not None:
                worker.die()


def opening(lane: int) -> OpenStream:
    return OpenStream(lane=lane, parameters=Parameters())


async def test_each_worker_uses_the_engine_as_if_alone() -> None:
    one, two = PlayedWorker(0), PlayedWorker(1)
    async with played(one, two) as both:
        assert (one.lanes, two.lanes) == ((0, 2), (1, 3))
        for worker, lane in ((two, 3), (one, 0)):
            worker.send_to_engine(opening(lane))
            assert await both.receive() == opening(lane)
            both.send_from_engine(StreamOpened(lane=lane))
            assert await worker.receive() == StreamOpened(lane=lane)


async def test_a_successor_is_connected_when_all_streams_left_are_closed() -> None:
    one, two = PlayedWorker(0), PlayedWorker(1)
    async with played(one, two) as both:
        one.send_to_engine(opening(0))
        await both.receive()
        one.die()
        both.disconnect_worker(one)
        assert await both.receive() == CloseStream(lane=0)
        one.channel = None
        both.connect_worker(one)
        assert one.channel is None
        both.send_from_engine(StreamClosed(lane=0))
        await poll(lambda: one.channel is not None)
        one.send_to_engine(opening(0))
        assert await both.receive() == opening(0)


async def test_a_worker_that_would_stop_the_engine_is_ended() -> None:
    one, two = PlayedWorker(0), PlayedWorker(1)
    async with played(one, two) as both:
        one.send_to_engine(Stop())
        await poll(lambda: len(one.ended) == 1)
        assert "it would stop the engine" in one.ended[0]
        two.send_to_engine(opening(1))
        assert await both.receive() == opening(1), "it was not passed on"


async def test_a_worker_that_closes_its_channel_but_lives_is_ended() -> None:
    """it could make no stream any more; one that is dying ends by itself."""
    living, dying = PlayedWorker(0), PlayedWorker(1, answers=False)
    async with played(living, dying) as both:
        living.send_to_engine(opening(0))
        await both.receive()
        dying.die()
        living.die()
        assert await both.receive() == CloseStream(lane=0)
        await poll(lambda: len(living.ended) == 1)
        assert not dying.ended


async def test_a_worker_that_is_not_up_has_no_channel() -> None:
    late = PlayedWorker(0, is_up=False)
    async with played(late, PlayedWorker(1)) as both:
        assert late.channel is None
        late.is_up = True
        both.connect_worker(late)
        assert late.lanes == (0, 2)
