"""Messages between one engine and its workers, the test playing both ends."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from slipstream_protocol.channel import AsyncChannel, open_pair, to_engine
from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import (
    CloseStream,
    OpenStream,
    Ready,
    Stop,
    StreamClosed,
    StreamOpened,
    ToEngine,
    ToServer,
    Vocabulary,
)
from slipstream_protocol.parameters import Parameters
from slipstream_server.errors import Unavailable
from slipstream_server.workers.engine_router import EngineRouter
from slipstream_server.workers.pool import Worker
from slipstream_server.workers.protocol import EngineConnected, EngineDisconnected, WorkerMessage

from tests.server.serving import poll

HEAR_S = 10.0
READY = Ready(
    pipeline="played",
    preset="none",
    geometry=Geometry(width_px=8, height_px=4, first_chunk_frames=2, chunk_frames=2),
    lanes=4,
    in_slots=1,
    out_slots=2,
    defaults=Parameters(),
    step_list=(1000,),
    noise_scale_range=(0.0, 1.0),
    vocabulary=Vocabulary(),
    note="",
)


class PlayedWorker:
    """In the place of a real one: what it is told, and its end of the line."""

    def __init__(self, index: int, *, is_up: bool = True, answers: bool = True) -> None:
        self.index = index
        self.name = f"media worker {index}"
        self.is_up = is_up
        self.answers = answers
        self.lanes: tuple[int, ...] = ()
        self.lost: list[str] = []
        self.ended: list[str] = []
        self.line: AsyncChannel[ToServer] | None = None

    def tell(self, message: WorkerMessage, descriptors: Sequence[int] = ()) -> None:
        match message:
            case EngineConnected(lanes=lanes):
                self.lanes = lanes
                self.line = to_engine(socket.socket(fileno=os.dup(descriptors[0])))
            case EngineDisconnected(reason=reason):
                self.lost.append(reason)

    def hang_up(self, reason: str) -> None:
        self.ended.append(reason)

    async def refresh(self) -> None:
        if not self.answers:
            raise Unavailable("it is gone", retry_after_s=1.0)

    def say(self, message: ToEngine) -> None:
        assert self.line is not None
        self.line.send(message)

    async def hear(self) -> ToServer:
        assert self.line is not None
        async with asyncio.timeout(HEAR_S):
            return await self.line.receive()

    def die(self) -> None:
        assert self.line is not None
        self.line.close()


class Played:
    """An engine and two workers, an exchange between them."""

    def __init__(self, exchange: EngineRouter, engine: AsyncChannel[ToEngine]) -> None:
        self.exchange = exchange
        self._engine = engine

    def say(self, message: ToServer) -> None:
        self._engine.send(message)

    async def hear(self) -> ToEngine:
        async with asyncio.timeout(HEAR_S):
            return await self._engine.receive()

    def leave(self, worker: PlayedWorker) -> None:
        self.exchange.leave(cast(Worker, worker))

    def join(self, worker: PlayedWorker) -> None:
        self.exchange.join(cast(Worker, worker))


@asynccontextmanager
async def played(*workers: PlayedWorker) -> AsyncIterator[Played]:
    ours, theirs = open_pair()
    channel = to_engine(ours)
    engine = AsyncChannel[ToEngine](theirs, ToEngine, other="the exchange")
    memory = os.memfd_create("played") if hasattr(os, "memfd_create") else os.dup(0)
    exchange = EngineRouter(channel, READY, memory, cast(list[Worker], list(workers)))
    serving = asyncio.create_task(exchange.serve())
    await asyncio.sleep(0)
    try:
        yield Played(exchange, engine)
    finally:
        engine.close()
        exchange.on_engine_lost(await serving)
        channel.close()
        for worker in workers:
            assert worker.lost == ["the engine has closed the channel"]
            if worker.line is not None:
                worker.die()


def opening(lane: int) -> OpenStream:
    return OpenStream(lane=lane, parameters=Parameters())


async def test_each_worker_speaks_with_the_engine_as_if_alone() -> None:
    one, two = PlayedWorker(0), PlayedWorker(1)
    async with played(one, two) as both:
        assert (one.lanes, two.lanes) == ((0, 2), (1, 3))
        for worker, lane in ((two, 3), (one, 0)):
            worker.say(opening(lane))
            assert await both.hear() == opening(lane)
            both.say(StreamOpened(lane=lane))
            assert await worker.hear() == StreamOpened(lane=lane)


async def test_a_successor_gets_its_line_when_all_is_closed_that_was_left() -> None:
    one, two = PlayedWorker(0), PlayedWorker(1)
    async with played(one, two) as both:
        one.say(opening(0))
        await both.hear()
        one.die()
        both.leave(one)
        assert await both.hear() == CloseStream(lane=0)
        one.line = None
        both.join(one)
        assert one.line is None
        both.say(StreamClosed(lane=0))
        await poll(lambda: one.line is not None)
        one.say(opening(0))
        assert await both.hear() == opening(0)


async def test_a_worker_that_would_stop_the_engine_is_ended() -> None:
    one, two = PlayedWorker(0), PlayedWorker(1)
    async with played(one, two) as both:
        one.say(Stop())
        await poll(lambda: len(one.ended) == 1)
        assert "it would stop the engine" in one.ended[0]
        two.say(opening(1))
        assert await both.hear() == opening(1), "it was not passed on"


async def test_a_worker_that_lets_go_of_its_line_but_lives_is_ended() -> None:
    """it could make no stream any more; one that is dying ends by itself."""
    living, dying = PlayedWorker(0), PlayedWorker(1, answers=False)
    async with played(living, dying) as both:
        living.say(opening(0))
        await both.hear()
        dying.die()
        living.die()
        assert await both.hear() == CloseStream(lane=0)
        await poll(lambda: len(living.ended) == 1)
        assert not dying.ended


async def test_a_worker_that_is_not_up_has_no_line() -> None:
    late = PlayedWorker(0, is_up=False)
    async with played(late, PlayedWorker(1)) as both:
        assert late.line is None
        late.is_up = True
        both.join(late)
        assert late.lanes == (0, 2)
