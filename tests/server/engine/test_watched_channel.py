"""engine/watched_channel.py: when a silent engine is noticed, under a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from slipstream_protocol.channel import engine_end, open_pair
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import ChunkIn, Ready
from slipstream_server.engine import watched_channel
from slipstream_server.engine.watched_channel import WatchedChannel

from tests.server.played_engine import ready_message

CHUNK_IN = ChunkIn(
    lane=0,
    slot=0,
    chunk=0,
    frames=4,
    captured_ns=0,
    submitted_ns=0,
    size=FrameSize(8, 4),
)


class FakeTime:
    """A clock that goes on with every sleep, which is over at once.

    Args:
        first_sleep_s: how much longer the first sleep takes than it was asked to.
    """

    def __init__(self, *, first_sleep_s: float) -> None:
        self.now_ns = 0
        self._extra_s = first_sleep_s
        self._yield = asyncio.sleep

    def read(self) -> int:
        return self.now_ns

    async def sleep(self, delay_s: float) -> None:
        self.now_ns += round((delay_s + self._extra_s) * NS_PER_S)
        self._extra_s = 0
        await self._yield(0)


@asynccontextmanager
async def serving(*, chunk_ms: float) -> AsyncIterator[WatchedChannel]:
    """The channel to an engine that is ready."""
    ours, theirs = open_pair()
    channel, engine = WatchedChannel(ours), engine_end(theirs)
    engine.send(ready_message(chunk_ms=chunk_ms))
    assert isinstance(await channel.receive(), Ready)
    try:
        yield channel
    finally:
        channel.close()
        engine.close()


@pytest.mark.parametrize(
    ("chunk_ms", "first_sleep_s", "noticed_s"),
    [(0, 0, 2), (1500, 0, 4.5), (0, 60, 62)],
    ids=["plain", "slow engine", "server suspended"],
)
async def test_a_silent_engine_is_noticed(
    chunk_ms: float, first_sleep_s: float, noticed_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """after two seconds, or three chunks by the engine's own figure; while the server itself was
    suspended no time counts."""
    time = FakeTime(first_sleep_s=first_sleep_s)
    monkeypatch.setattr(watched_channel, "now_ns", time.read)
    async with serving(chunk_ms=chunk_ms) as channel:
        channel.send(CHUNK_IN)
        monkeypatch.setattr(asyncio, "sleep", time.sleep)
        verdict = await channel.hang()
    assert verdict.startswith("the engine hangs: 1 answers are due")
    assert noticed_s < time.now_ns / NS_PER_S < noticed_s + 1
