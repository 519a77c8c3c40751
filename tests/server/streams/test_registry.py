"""How many streams there may be, and which held one is ended for a new one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.parameters import Parameters
from slipstream_server.errors import ServerFull
from slipstream_server.streams.ports import EngineProvider, Publisher
from slipstream_server.streams.registry import StreamRegistry
from slipstream_server.streams.resume_tokens import ResumeTokens
from slipstream_server.streams.stream import Stream

from tests.server.streams.test_stream import Call, Engines, media_context

HOLD_S = 600.0


@asynccontextmanager
async def registry_on(engines: Engines) -> AsyncIterator[StreamRegistry]:
    with media_context() as context:
        registry = StreamRegistry(
            cast(EngineProvider, engines), context, ResumeTokens(b"key"), hold_s=HOLD_S
        )
        try:
            yield registry
        finally:
            await registry.end_all("the test is over")


async def enter(
    registry: StreamRegistry, name: str, *, connects: bool = True, offered_ns: int = 0
) -> tuple[Stream, Call]:
    """A stream and its publisher."""
    stream = registry.create(name, returns_video=True, camera_fps=30, offered_ns=offered_ns)
    async with registry.place(stream):
        await registry.open(stream, Parameters())
        call = Call()
        stream.attach(cast(Publisher, call))
        if connects:
            stream.on_connected()
        registry.start(stream)
    return stream, call


async def enter_and_vanish(registry: StreamRegistry, name: str) -> Stream:
    stream, call = await enter(registry, name)
    stream.detach(cast(Publisher, call), "it has vanished", ends_stream=False)
    return stream


def names(registry: StreamRegistry) -> set[str]:
    return {stream.id for stream in registry.live()}


async def test_the_one_held_longest_gives_way_and_no_other() -> None:
    async with registry_on(Engines(lanes=3)) as registry:
        await enter(registry, "here")
        for name in ("long gone", "just gone"):
            await enter_and_vanish(registry, name)
        await enter(registry, "new")
        assert names(registry) == {"here", "just gone", "new"}
        await enter(registry, "newer")
        assert names(registry) == {"here", "new", "newer"}
        with pytest.raises(ServerFull, match="all 3 streams are in use"):
            await enter(registry, "too many")
        assert names(registry) == {"here", "new", "newer"}


async def test_none_gives_way_where_the_engine_lacks_more_than_a_lane() -> None:
    """a lane would not help: the engine lacks something else."""
    async with registry_on(Engines(lanes=3, carries=2, full=1)) as registry:
        for name in ("gone", "gone too"):
            await enter_and_vanish(registry, name)
        with pytest.raises(ServerFull, match="no lane yet"):
            await enter(registry, "new")
        assert names(registry) == {"gone", "gone too"}


async def test_one_place_is_given_once() -> None:
    """of several who come at the same time one gets it, and one held stream is given up for it."""
    async with registry_on(Engines(lanes=1)) as registry:
        await enter_and_vanish(registry, "gone")
        results = await asyncio.gather(
            *(enter(registry, f"new {n}") for n in range(3)), return_exceptions=True
        )
        admitted = [one for one in results if not isinstance(one, BaseException)]
        refused = [one for one in results if isinstance(one, ServerFull)]
        assert (len(admitted), len(refused)) == (1, 2)
        assert names(registry) == {admitted[0][0].id}


async def test_a_publisher_that_does_not_connect_makes_room() -> None:
    """once it has had its time; a held stream goes before it, a connected one stays."""
    async with registry_on(Engines(lanes=3)) as registry:
        await enter(registry, "here")
        await enter(registry, "never connects", connects=False)
        await enter_and_vanish(registry, "gone")
        await enter(registry, "new")
        assert names(registry) == {"here", "never connects", "new"}
        just_now_ns = now_ns() + 60 * NS_PER_S
        await enter(registry, "connects soon", connects=False, offered_ns=just_now_ns)
        assert names(registry) == {"here", "new", "connects soon"}
        with pytest.raises(ServerFull, match="all 3 streams are in use"):
            await enter(registry, "too many")
