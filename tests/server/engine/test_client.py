"""The server's end of an engine whose part the test plays."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.channel import Channel, engine_end, open_pair
from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkIn,
    ChunkOut,
    CloseStream,
    Failed,
    Message,
    OpenStream,
    SlotFree,
    SlotRead,
    StageTimes,
    StreamClosed,
    StreamOpened,
    StreamRefused,
    ToEngine,
    Update,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack, EngineStream, StreamPromise
from slipstream_server.errors import EngineFull, EngineUnavailable, RequestError, ServerFull

from tests.server.played_engine import ready_message
from tests.server.serving import poll

SMALL = Geometry(width_px=8, height_px=4, first_chunk_frames=2, chunk_frames=2)
LARGE = Geometry(width_px=832, height_px=480, first_chunk_frames=2, chunk_frames=2)


class Notes:
    """A listener that records every event."""

    def __init__(self) -> None:
        self.chunks: list[ChunkBack] = []
        self.slots = 0
        self.dropped: list[int] = []
        self.applied: list[Applied] = []
        self.refused: list[UpdateRefused] = []
        self.lost: list[str] = []

    def on_slot_free(self) -> None:
        self.slots += 1

    def on_chunk(self, back: ChunkBack) -> None:
        self.chunks.append(back)

    def on_dropped(self, chunk: int) -> None:
        self.dropped.append(chunk)

    def on_applied(self, applied: Applied) -> None:
        self.applied.append(applied)

    def on_update_refused(self, refused: UpdateRefused) -> None:
        self.refused.append(refused)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Played:
    """The engine's end, and the client under test."""

    def __init__(
        self,
        client: EngineClient,
        channel: Channel[ToEngine],
        arena: Arena,
        serving: asyncio.Task[str | None],
    ) -> None:
        self.client = client
        self.serving = serving
        self.arena = arena
        self._channel = channel

    def receive(self) -> ToEngine:
        message = self._channel.receive(timeout_s=5)
        assert message is not None
        return message

    async def send(self, *messages: Message) -> None:
        """Send, and give the client time to handle it."""
        for message in messages:
            self._channel.send(message)
        for _ in range(20):
            await asyncio.sleep(0)

    def die(self) -> None:
        self._channel.close()

    async def open(self, listener: Notes) -> EngineStream:
        opening = asyncio.create_task(self.client.open(Parameters(), listener))
        await asyncio.sleep(0)
        message = self.receive()
        assert isinstance(message, OpenStream)
        await self.send(StreamOpened(lane=message.lane, understood="understood"))
        return await opening

    def chunk(self, slot: int, number: int, value: int, lane: int = 0) -> ChunkOut:
        """A made chunk, of one value."""
        self.arena.output(lane, slot)[:] = value
        return ChunkOut(
            lane=lane,
            slot=slot,
            chunk=number,
            frames=2,
            rev=-1,
            taken_ns=0,
            made_ns=0,
            stages=StageTimes(),
            size=self.arena.layout.geometry.size,
        )


@asynccontextmanager
async def played(geometry: Geometry = SMALL, lanes: int = 2) -> AsyncIterator[Played]:
    ours, theirs = open_pair()
    layout = Layout(geometry=geometry, lanes=lanes, in_slots=1, out_slots=2)
    engine_arena = Arena.create(layout)
    ready = ready_message(geometry=geometry, lanes=lanes)
    channel = AsyncChannel(ours)
    with ThreadPoolExecutor(1) as pool:
        server_arena = Arena(os.dup(engine_arena.descriptor), layout)
        client = EngineClient(channel, ready, server_arena, pool)
        serving = asyncio.create_task(client.serve())
        engine = Played(client, engine_end(theirs), engine_arena, serving)
        try:
            yield engine
        finally:
            engine.die()
            reason = await serving
            client.on_engine_lost(reason or "the engine has closed the channel")
            channel.close()
            engine_arena.close()


@pytest.mark.parametrize("geometry", [SMALL, LARGE])
async def test_a_chunk_goes_in_and_comes_back(geometry: Geometry) -> None:
    """pixels lie in the announced slot; ours is a copy, and the slot is given back at once."""
    async with played(geometry) as engine:
        notes = Notes()
        stream = await engine.open(notes)
        frames = [np.full(geometry.frame_shape, value, np.uint8) for value in (3, 4)]
        chunk, _ = await stream.submit(frames, captured_ns=5)
        message = engine.receive()
        assert isinstance(message, ChunkIn)
        assert (message.chunk, message.frames, message.captured_ns, chunk) == (0, 2, 5, 0)
        assert [int(frame.max()) for frame in engine.arena.input(0, message.slot)] == [3, 4]
        assert not stream.has_free_slot
        out = engine.chunk(1, 0, 77)
        await engine.send(out, SlotFree(lane=0, slot=message.slot))
        await poll(lambda: notes.slots == 1)
        assert engine.receive() == SlotRead(lane=0, slot=1)
        engine.arena.output(0, 1)[:] = 0
        assert (notes.chunks[0].frames_THW == 77).all()
        assert stream.has_free_slot


async def test_a_chunk_that_is_dropped_gives_its_slot_back() -> None:
    """the listener is notified, and the next chunk may be sent."""
    async with played() as engine:
        notes = Notes()
        stream = await engine.open(notes)
        frames = [np.zeros(SMALL.frame_shape, np.uint8)] * 2
        await stream.submit(frames, captured_ns=0)
        engine.receive()
        assert not stream.has_free_slot
        await engine.send(ChunkDropped(lane=0, slot=0, chunk=0))
        await poll(lambda: notes.dropped == [0])
        assert stream.has_free_slot
        assert (await stream.submit(frames, captured_ns=0))[0] == 1


async def test_every_lane_is_taken_once() -> None:
    """and the next caller gets an error that the server is full."""
    async with played(lanes=2) as engine:
        lanes = {(await engine.open(Notes())).lane for _ in range(2)}
        assert lanes == {0, 1}
        with pytest.raises(ServerFull, match="all 2 streams are in use"):
            await engine.client.open(Parameters(), Notes())


async def test_a_lane_being_given_back_is_waited_for() -> None:
    """as when a page is loaded again: the old stream ends while the new one asks."""
    async with played(lanes=1) as engine:
        first = await engine.open(Notes())
        first.close()
        assert engine.receive() == CloseStream(lane=0)
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes()))
        await asyncio.sleep(0)
        assert engine.client.free_lanes == 0
        await engine.send(StreamClosed(lane=0))
        assert isinstance(engine.receive(), OpenStream)
        await engine.send(StreamOpened(lane=0))
        await opening


async def test_what_comes_after_closing_goes_nowhere() -> None:
    """late chunks are given back to the engine and shown to nobody."""
    async with played() as engine:
        notes = Notes()
        stream = await engine.open(notes)
        stream.close()
        assert engine.receive() == CloseStream(lane=0)
        await engine.send(engine.chunk(0, 0, 1), Failed(lane=0, reason="x"), StreamClosed(lane=0))
        assert engine.receive() == SlotRead(lane=0, slot=0)
        assert (notes.chunks, notes.lost) == ([], [])
        assert engine.client.free_lanes == 2


@pytest.mark.parametrize(("retry_after_s", "error"), [(3.0, ServerFull), (0.0, RequestError)])
async def test_a_refusal_is_passed_on(retry_after_s: float, error: type[Exception]) -> None:
    """as full where asking again helps, else as the caller's own fault; the lane is free."""
    async with played() as engine:
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes()))
        await asyncio.sleep(0)
        engine.receive()
        await engine.send(StreamRefused(lane=0, reason="no", retry_after_s=retry_after_s))
        with pytest.raises(error, match="no"):
            await opening
        assert engine.client.free_lanes == 2


async def test_every_part_of_a_promise_reaches_the_engine() -> None:
    """and what it forecasts, or would need, comes back."""
    promise = StreamPromise(
        period_ns=5, floor_steps=1, floor_period_ns=7, is_return=True, spare_lanes=(1,)
    )
    async with played() as engine:
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes(), promise))
        await asyncio.sleep(0)
        sent = engine.receive()
        assert isinstance(sent, OpenStream)
        assert promise == StreamPromise(
            **{field.name: getattr(sent, field.name) for field in dataclasses.fields(promise)}
        )
        await engine.send(StreamOpened(lane=0, alone_ms=12.5))
        assert (await opening).alone_ms == 12.5
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes()))
        await asyncio.sleep(0)
        await engine.send(StreamRefused(lane=1, reason="no", retry_after_s=1, fits_without=2))
        with pytest.raises(EngineFull) as refused:
            await opening
        assert refused.value.fits_without == 2


async def test_a_refusal_that_comes_after_giving_up_does_not_free_the_lane() -> None:
    """the answer to `CloseStream` is still to come, and must not end the lane's next stream."""
    async with played(lanes=1) as engine:
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes()))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert [engine.receive(), engine.receive()][1] == CloseStream(lane=0)
        await engine.send(StreamRefused(lane=0, reason="no", retry_after_s=1.0))
        assert engine.client.free_lanes == 0
        await engine.send(StreamClosed(lane=0))
        assert engine.client.free_lanes == 1


async def test_a_refusal_in_the_very_moment_of_giving_up_harms_nobody() -> None:
    """the one who waited has not run yet; the engine goes on for everybody else."""
    async with played(lanes=1) as engine:
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes()))
        await asyncio.sleep(0)
        refused = StreamRefused(lane=0, reason="no", retry_after_s=1.0)
        taking = asyncio.create_task(engine.client.dispatch(refused))
        opening.cancel()
        await taking
        await asyncio.gather(opening, return_exceptions=True)
        assert [engine.receive(), engine.receive()][1] == CloseStream(lane=0)
        await engine.send(StreamClosed(lane=0))
        assert engine.client.free_lanes == 1


async def test_streams_are_told_apart() -> None:
    """what is said of one lane reaches its listener alone."""
    async with played() as engine:
        one, two = Notes(), Notes()
        await engine.open(one)
        second = await engine.open(two)
        second.update(Parameters(seed=1, rev=0))
        assert engine.receive() == Update(lane=1, parameters=Parameters(seed=1, rev=0))
        await engine.send(
            Applied(lane=1, rev=0, chunk=4),
            UpdateRefused(lane=0, rev=9, reason="no"),
            Failed(lane=1, reason="broke"),
        )
        assert (len(one.applied), len(one.refused), one.lost) == (0, 1, [])
        assert (len(two.applied), len(two.refused), two.lost) == (1, 0, ["broke"])


async def test_a_listener_that_fails_ends_its_own_stream_only() -> None:
    """the others go on, and its lane is given back."""

    class Broken(Notes):
        def on_chunk(self, back: ChunkBack) -> None:
            raise RuntimeError("broken")

    async with played() as engine:
        broken, sound = Broken(), Notes()
        await engine.open(broken)
        await engine.open(sound)
        await engine.send(engine.chunk(0, 0, 1, lane=0), engine.chunk(0, 0, 2, lane=1))
        assert broken.lost == ["the server has failed at this stream; its log has the reason"]
        assert len(sound.chunks) == 1
        received = [engine.receive() for _ in range(3)]
        assert CloseStream(lane=0) in received
        assert CloseStream(lane=1) not in received


async def test_a_dead_engine_is_reported_to_everybody() -> None:
    """to open streams with the reason, to those being opened and to later callers as an error."""
    async with played(lanes=3) as engine:
        notes = Notes()
        await engine.open(notes)
        opening = asyncio.create_task(engine.client.open(Parameters(), Notes()))
        await asyncio.sleep(0)
        engine.die()
        engine.client.on_engine_lost("it was killed")
        assert notes.lost == ["it was killed"]
        with pytest.raises(EngineUnavailable, match="it was killed"):
            await opening
        with pytest.raises(EngineUnavailable, match="it was killed"):
            await engine.client.open(Parameters(), Notes())


async def test_a_stream_that_is_ending_gets_no_report_of_a_dead_engine() -> None:
    """its viewer has left, or was never admitted; the others are notified all the same."""
    async with played(lanes=2) as engine:
        leaving, staying = Notes(), Notes()
        ending = await engine.open(leaving)
        await engine.open(staying)
        ending.close()
        engine.die()
        engine.client.on_engine_lost("it was killed")
        assert (leaving.lost, staying.lost) == ([], ["it was killed"])


async def test_an_engine_that_breaks_the_rules_is_lost() -> None:
    """a slot it does not own cannot come back twice."""
    async with played() as engine:
        await engine.open(Notes())
        await engine.send(SlotFree(lane=0, slot=0))
        assert "breaks the protocol: slot 0 came back" in str(await engine.serving)
