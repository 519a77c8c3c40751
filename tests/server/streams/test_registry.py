"""Who gets a place, and which stream gives one up for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from slipstream_protocol.parameters import Parameters
from slipstream_server.errors import ServerFull
from slipstream_server.streams.ports import EngineProvider, Publisher
from slipstream_server.streams.registry import StreamRegistry
from slipstream_server.streams.stream import Stream

from tests.server.streams.test_stream import Call, Engines, surroundings

HOLD_S = 600.0


@asynccontextmanager
async def roster_on(engines: Engines) -> AsyncIterator[StreamRegistry]:
    with surroundings() as around:
        roster = StreamRegistry(cast(EngineProvider, engines), around, hold_s=HOLD_S)
        try:
            yield roster
        finally:
            await roster.end_all("the test is over")


async def enter(roster: StreamRegistry, name: str) -> tuple[Stream, Call]:
    """A stream and the call that carries it."""
    stay = roster.prepare(name, returns=True, offered_ns=0)
    await roster.open(stay, Parameters())
    call = Call()
    stay.carry(cast(Publisher, call))
    stay.on_connected()
    roster.begin(stay)
    return stay, call


async def enter_and_vanish(roster: StreamRegistry, name: str) -> Stream:
    stay, call = await enter(roster, name)
    stay.drop(cast(Publisher, call), "it has vanished", for_good=False)
    return stay


def names(roster: StreamRegistry) -> set[str]:
    return {stay.id for stay in roster.all()}


async def test_the_one_held_longest_gives_way_and_no_other() -> None:
    async with roster_on(Engines(lanes=3)) as roster:
        await enter(roster, "here")
        for name in ("long gone", "just gone"):
            await enter_and_vanish(roster, name)
        await enter(roster, "new")
        assert names(roster) == {"here", "just gone", "new"}
        await enter(roster, "newer")
        assert names(roster) == {"here", "new", "newer"}
        with pytest.raises(ServerFull, match="all 3 streams are in use"):
            await enter(roster, "too many")
        assert names(roster) == {"here", "new", "newer"}


async def test_none_gives_way_where_the_engine_cannot_carry_one_more() -> None:
    """its place would not help: what is short is not lanes."""
    async with roster_on(Engines(lanes=3, carries=2, full=1)) as roster:
        for name in ("gone", "gone too"):
            await enter_and_vanish(roster, name)
        with pytest.raises(ServerFull, match="no lane yet"):
            await enter(roster, "new")
        assert names(roster) == {"gone", "gone too"}


async def test_one_place_is_given_once() -> None:
    """of several who come at the same time one gets it, and one held stream is given up for it."""
    async with roster_on(Engines(lanes=1)) as roster:
        await enter_and_vanish(roster, "gone")
        came = await asyncio.gather(
            *(enter(roster, f"new {n}") for n in range(3)), return_exceptions=True
        )
        let_in = [one for one in came if not isinstance(one, BaseException)]
        refused = [one for one in came if isinstance(one, ServerFull)]
        assert (len(let_in), len(refused)) == (1, 2)
        assert names(roster) == {let_in[0][0].id}
