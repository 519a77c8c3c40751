"""engine/current.py: waiting for an engine, and the report of its loss."""

import asyncio

from slipstream_server.engine.current import CurrentEngine

from tests.server.played_engine import ready_message

READY = ready_message()


class RecordingClient:
    """A client that records why it was lost."""

    def __init__(self) -> None:
        self.ready = READY
        self.reasons: list[str] = []

    async def serve(self) -> str:
        return ""

    def stop(self) -> None: ...

    def on_engine_lost(self, reason: str) -> None:
        self.reasons.append(reason)


async def test_who_waits_gets_the_next_one() -> None:
    """also after one that is gone: that one is no longer there at once."""
    engine = CurrentEngine[RecordingClient]()
    assert engine.ready is None
    waiter = asyncio.create_task(engine.running())
    await asyncio.sleep(0)
    assert not waiter.done()
    client = RecordingClient()
    engine.connect(client)
    assert await waiter is engine.client is client
    assert engine.ready is READY
    engine.disconnect(client)
    assert engine.client is None


async def test_a_loss_is_reported_once() -> None:
    """to the client that was connected, also after it is disconnected."""
    engine = CurrentEngine[RecordingClient]()
    first, second = RecordingClient(), RecordingClient()
    engine.connect(first)
    engine.disconnect(first)
    engine.report_lost("it crashed")
    engine.connect(second)
    engine.report_lost("it hangs")
    engine.report_lost("again")
    assert (first.reasons, second.reasons) == (["it crashed"], ["it hangs"])


async def test_a_late_disconnect_does_not_touch_the_next() -> None:
    """a client that is slow to end does not disconnect the engine that came after it."""
    engine = CurrentEngine[RecordingClient]()
    slow, fresh = RecordingClient(), RecordingClient()
    engine.connect(slow)
    engine.report_lost("it crashed")
    engine.connect(fresh)
    engine.disconnect(slow)
    assert engine.client is fresh
    assert fresh.reasons == []
