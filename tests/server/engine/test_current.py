"""An engine that comes and goes, as those who wait for one and those who were with one see it."""

import asyncio

import pytest
from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import Ready, Vocabulary
from slipstream_protocol.parameters import Parameters
from slipstream_server.engine.current import CurrentEngine
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.errors import EngineUnavailable

READY = Ready(
    pipeline="echo",
    preset="echo",
    geometry=Geometry(width_px=2, height_px=2, first_chunk_frames=1, chunk_frames=1),
    lanes=1,
    in_slots=1,
    out_slots=1,
    defaults=Parameters(),
    step_list=(1,),
    noise_scale_range=(0.0, 1.0),
    vocabulary=Vocabulary(),
    note="",
)
DOWN = EngineStatus(state=EngineState.DOWN, detail="it crashed", pid=None, restarts=1, ready=None)


class Ear:
    """A client that only listens."""

    def __init__(self) -> None:
        self.ready = READY
        self.reasons: list[str] = []

    async def serve(self) -> str:
        return ""

    def stop(self) -> None: ...

    def lose(self, reason: str) -> None:
        self.reasons.append(reason)


async def test_who_waits_gets_the_next_one() -> None:
    """without an engine a call is refused with the reason, and a waiter waits for the next."""
    engine = CurrentEngine[Ear]()
    with pytest.raises(EngineUnavailable, match="it crashed"):
        engine.require(DOWN)
    assert engine.ready is None
    waiter = asyncio.create_task(engine.running())
    await asyncio.sleep(0)
    assert not waiter.done()
    ear = Ear()
    engine.begin(ear)
    assert await waiter is engine.require(DOWN) is ear
    assert engine.ready is READY


async def test_its_end_is_told_once() -> None:
    """to whoever was with it, also after it is gone, and only once."""
    engine = CurrentEngine[Ear]()
    first, second = Ear(), Ear()
    engine.begin(first)
    engine.end(first)
    with pytest.raises(EngineUnavailable):
        engine.require(DOWN)
    engine.lose("it crashed")
    engine.begin(second)
    engine.lose("it hangs")
    engine.lose("again")
    assert (first.reasons, second.reasons) == (["it crashed"], ["it hangs"])


async def test_a_late_end_does_not_touch_the_next() -> None:
    """a client that is slow to leave does not take the engine that came after it away."""
    engine = CurrentEngine[Ear]()
    slow, fresh = Ear(), Ear()
    engine.begin(slow)
    engine.lose("it crashed")
    engine.begin(fresh)
    engine.end(slow)
    assert engine.require(DOWN) is fresh
    assert fresh.reasons == []
