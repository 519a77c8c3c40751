"""A stream that loses its engines: how often it may, and what the next one is sent."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import pytest
from slipstream_protocol.parameters import Parameters, Prompt
from slipstream_server.control.events import Event, PipelineError, State, StreamStopped, Waiting
from slipstream_server.control.slo_event import Slo
from slipstream_server.engine.client import EngineClient
from slipstream_server.errors import EngineUnavailable, ServerFull
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.send.adaptive_encoder import VideoSettings
from slipstream_server.send.h264 import X264
from slipstream_server.streams import chunk_pipe
from slipstream_server.streams.chunk_pipe import Participant
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider, Publisher
from slipstream_server.streams.stream import Stream

from tests.server.serving import poll
from tests.server.streams.test_chunk_pipe import READY

KILLED = "the engine was ended by SIGKILL"
FAILED = "the engine has failed at this stream"


class Lane:
    """A lane of an engine that takes everything and answers nothing."""

    has_free_slot = True
    closing = False
    understood = ""
    lane = 0
    alone_ms = 0.0

    def close(self) -> None:
        self.closing = True


class Engines:
    """One engine after the other, as supervisor and client at once.

    Args:
        lanes: of each.
        carries: so many streams are opened without ado; as many as there are lanes if None.
        full: how many times a further one is refused.
        fails_at: the numbers of the streams, from 0, that fail as soon as they are open.
    """

    ready = READY

    def __init__(
        self,
        *,
        lanes: int = 1,
        carries: int | None = None,
        full: int = 0,
        fails_at: Collection[int] = (),
    ) -> None:
        self.opened: list[Parameters] = []
        self.opened_lanes: list[Lane] = []
        self.lanes = lanes
        self._carries = lanes if carries is None else carries
        self._full = full
        self._fails_at = fails_at

    def require(self) -> "Engines":
        return self

    async def running(self) -> "Engines":
        return self

    async def open(self, parameters: Parameters, listener: Any, promise: Any) -> Lane:
        if len(self.opened) >= self._carries and self._full:
            self._full -= 1
            raise ServerFull("no lane yet", retry_after_s=0.01)
        await asyncio.sleep(0)  # as a real engine, it does not answer at once
        lane = Lane()
        self.opened.append(parameters)
        self.opened_lanes.append(lane)
        if len(self.opened) - 1 in self._fails_at:
            listener.on_lost(FAILED)
        return lane


class Call:
    """A publisher's call; keeps the events it is sent."""

    id = "call"
    output = None

    def __init__(self) -> None:
        self.drops: dict[str, int] = {}
        self.events: list[Event] = []
        self.ends: list[str] = []
        self.participant = Participant(send=self.events.append, end=self.ends.append)


@contextmanager
def media_context() -> Iterator[MediaContext]:
    """What all streams share."""
    with ThreadPoolExecutor(1) as pool:
        yield MediaContext(
            metrics=Metrics(),
            targets=SloTargets(),
            pool=pool,
            media_addressing=MediaAddressing(),
            video=VideoSettings(codec=X264, ceiling_bps=10**6, low_delay=True),
        )


def new_stream(engines: Engines, context: MediaContext) -> Stream:
    """A stream that is still to be opened."""
    return Stream(
        "s",
        cast(EngineProvider, engines),
        cast(EngineClient, engines),
        context,
        resume_token="s.secret",
        returns_video=True,
        camera_fps=30,
        offered_ns=0,
        hold_s=30,
    )


@asynccontextmanager
async def running_stream(
    engines: Engines, parameters: Parameters
) -> AsyncIterator[tuple[Stream, Call]]:
    """A stream with its publisher, while it runs."""
    with media_context() as context:
        stream = new_stream(engines, context)
        call = Call()
        await stream.open(parameters)
        stream.attach(cast(Publisher, call))
        stream.on_connected()
        running = asyncio.create_task(stream.run())
        try:
            yield stream, call
        finally:
            stream.end("the test is over")
            await running


async def lose(stream: Stream, engines: Engines) -> None:
    """The engine dies, and the stream is open on the next one, unless it has ended."""
    before = len(engines.opened)
    stream.chunk_pipe.on_lost(KILLED)
    await poll(lambda: len(engines.opened) > before or stream.ended.is_set())


async def test_a_publisher_is_told_how_many_wait_for_a_place() -> None:
    """when that has changed, and not again."""
    async with running_stream(Engines(), Parameters()) as (stream, call):
        for callers in (0, 2, 2, 0):
            stream.tell_waiting(callers)
        told = [event.callers for event in call.events if isinstance(event, Waiting)]
        assert told == [2, 0]


async def test_one_that_brings_every_engine_down_is_ended() -> None:
    """three in a row before a frame came; the publisher is sent the reason."""
    engines = Engines()
    async with running_stream(engines, Parameters()) as (stream, call):
        for _ in range(3):
            await lose(stream, engines)
        assert len(engines.opened) == 3
        stopped = call.events[-1]
        assert isinstance(stopped, StreamStopped)
        assert stopped.error_message == (
            f"{KILLED}, 3 times in a row before a picture of this stream came"
        )
        assert call.ends == [f"the stream has ended: {stopped.error_message}"]


async def test_one_that_made_pictures_or_made_none_on_purpose_goes_on() -> None:
    """it was not its fault: ten engines later it still is open, with a higher epoch each time."""
    engines = Engines()
    async with running_stream(engines, Parameters(paused=True)) as (stream, call):
        for _ in range(5):
            await lose(stream, engines)
        stream.chunk_pipe.pause(False)
        for _ in range(5):
            stream.chunk_pipe.epoch_chunks = 1
            await lose(stream, engines)
        assert stream.end_reason is None
        assert stream.chunk_pipe.epoch == 11
        assert len([event for event in call.events if isinstance(event, PipelineError)]) == 10


async def test_the_next_engine_begins_with_the_parameters_in_force() -> None:
    """however often it has no lane yet; what works only once is not repeated."""
    engines = Engines(full=3)
    parameters = Parameters(prompts=(Prompt("dusk"),), seed=7, reset_cache=True)
    async with running_stream(engines, parameters) as (stream, call):
        stream.chunk_pipe.epoch_chunks = 1
        await lose(stream, engines)
        again = engines.opened[-1]
        assert (again.prompts, again.seed) == ((Prompt("dusk"),), 7)
        assert not again.reset_cache
        states = [event.state for event in call.events if isinstance(event, State)]
        assert states[-2:] == ["restarting", "warming"]


async def test_a_lane_that_fails_as_soon_as_it_is_open_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """the first one refuses the call; a later one is replaced."""
    monkeypatch.setattr(chunk_pipe, "RETRY_S", 0.01)
    with media_context() as context:
        engines = Engines(fails_at=(0,))
        stream = new_stream(engines, context)
        with pytest.raises(EngineUnavailable, match=FAILED):
            await stream.open(Parameters())
        assert engines.opened_lanes[0].closing
    engines = Engines(fails_at=(1,))
    async with running_stream(engines, Parameters()) as (stream, call):
        stream.chunk_pipe.epoch_chunks = 5
        stream.chunk_pipe.on_lost(KILLED)
        await poll(lambda: stream.chunk_pipe.epoch == 2)
        assert [lane.closing for lane in engines.opened_lanes] == [True, True, False]
        states = [event.state for event in call.events if isinstance(event, State)]
        assert states[-2:] == ["restarting", "warming"]


async def test_a_newer_publisher_takes_the_place_of_the_one_before() -> None:
    """which is notified and ends; its drops still count, what it does later changes nothing."""
    async with running_stream(Engines(), Parameters()) as (stream, older):
        older.drops["stale"] = 2
        newer = Call()
        stream.attach(cast(Publisher, newer))
        reason = "the call was taken over by a newer one with the same token"
        assert older.events[-1] == StreamStopped(error_message=reason)
        assert older.ends == [reason]
        sent = len(older.events)
        stream.on_connected()
        states = [event.state for event in newer.events if isinstance(event, State)]
        assert states == ["connecting", "warming"]
        stream.detach(cast(Publisher, older), "it has hung up", ends_stream=True)
        await poll(lambda: any(isinstance(event, Slo) for event in newer.events))
        (report, *_) = (event for event in newer.events if isinstance(event, Slo))
        assert report.drops["stale"] == 2
        assert len(older.events) == sent
        assert stream.end_reason is None


async def test_a_publisher_that_leaves_for_good_ends_the_stream() -> None:
    """one that just leaves does not: the stream is held, and no event goes to that call."""
    async with running_stream(Engines(), Parameters()) as (stream, call):
        sent = len(call.events)
        stream.detach(cast(Publisher, call), "it has vanished", ends_stream=False)
        assert stream.is_held
        assert stream.state_event().state == "held"
        assert len(call.events) == sent
        back = Call()
        stream.attach(cast(Publisher, back))
        assert not stream.is_held
        stream.detach(cast(Publisher, back), "it has hung up", ends_stream=True)
        assert stream.end_reason == "it has hung up"
