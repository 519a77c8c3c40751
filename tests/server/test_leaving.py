"""The command asked to stop while calls are on: new ones refused, callers told, an orderly end."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest
from slipstream_server.shutdown import Shutdown

from tests.server.calls import Camera, dial
from tests.server.command import health, runs, slipstream
from tests.server.serving import poll
from tests.server.whips import posted

EXIT_S = 20
LONG = ("--drain-s", "600")


@pytest.mark.parametrize(
    ("numbers", "ends_calls", "is_urgent"),
    [
        ([signal.SIGTERM], False, False),
        ([signal.SIGINT], True, False),
        ([signal.SIGTERM, signal.SIGTERM], True, True),
        ([signal.SIGTERM, signal.SIGINT], True, True),
        ([signal.SIGINT, signal.SIGINT], True, True),
        ([signal.SIGQUIT], True, True),
        ([signal.SIGTERM, signal.SIGQUIT], True, True),
    ],
)
async def test_what_each_signal_asks_for(
    numbers: list[signal.Signals], ends_calls: bool, is_urgent: bool
) -> None:
    """the first SIGTERM waits for calls, a Ctrl-C does not, a second signal waits for nothing, and
    nor does SIGQUIT."""
    shutdown = Shutdown()
    for number in numbers:
        shutdown.on_signal(number)
    assert shutdown.requested.is_set()
    assert (shutdown.ends_calls.is_set(), shutdown.is_urgent.is_set()) == (ends_calls, is_urgent)


async def test_a_drain_refuses_newcomers_tells_callers_and_ends_with_the_last(
    tmp_path: Path,
) -> None:
    """calls go on meanwhile; whatever way a new one asks, it is told when to come again."""
    log = tmp_path / "log"
    async with (
        slipstream(*LONG, log=log) as (process, address),
        aiohttp.ClientSession(address) as http,
    ):
        engine = (await health(address))["engine_pid"]
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # what log rotation may send
            process.send_signal(number)
            os.kill(engine, number)
        async with (
            dial(http, camera=Camera(fps=10)) as call,
            dial(http, watch=True, view=call.stream) as watcher,
        ):
            await call.until_frames(1)
            await watcher.until_event("state", state="live")
            process.send_signal(signal.SIGTERM)
            told = await call.until_event("server_stopping")
            assert told["resume_token"] == call.resume
            assert 590 < told["ends_in_s"] <= 600
            assert (await watcher.until_event("server_stopping"))["resume_token"] is None
            async with http.get("/ready") as response:
                assert response.status == 503
                assert 590 < int(response.headers["Retry-After"]) <= 605
                assert "the server is stopping" in await response.text()
            async with http.get("/health") as response:
                answer = await response.json()
                assert (answer["status"], answer["ready"], answer["sessions"]) == (
                    *("stopping", False),
                    1,
                )
                assert answer["engine_pid"] == engine
            async with dial(http, camera=Camera(fps=10)) as refused:
                assert (refused.status, refused.retry_after_s) == (503, "605")
            async with dial(http, camera=Camera(fps=10), resume=call.resume) as refused:
                assert refused.status == 503
            for path, camera in (("/whip/stage", Camera(fps=10)), (f"/whep/{call.stream}", None)):
                async with posted(http, path, camera=camera) as one:
                    assert one.status == 503
                    assert int(one.headers["Retry-After"]) > 590
            await call.until_more_frames(3)
        assert await asyncio.wait_for(process.wait(), EXIT_S) == 0
    assert "stopping; calls now: 1 publish, 1 watch" in log.read_text()


async def test_the_drain_ends_in_time() -> None:
    """who stays is told that it is the server that stops; a WHIP and a WHEP client, which have
    nothing to be told by, see their connections closed rather than gone silent."""
    async with (
        slipstream("--drain-s", "1") as (process, address),
        aiohttp.ClientSession(address) as http,
    ):
        await health(address)
        async with (
            dial(http, camera=Camera(fps=10)) as call,
            posted(http, "/whip/stage", camera=Camera(fps=10)) as publisher,
        ):
            await call.until_frames(1)
            async with posted(http, "/whep/stage") as subscriber:
                await subscriber.until_frames(1)
                process.send_signal(signal.SIGTERM)
                stopped = await call.until_event("stream_stopped")
                assert stopped["server_stops"]
                for one in (publisher, subscriber):
                    transports = {t.receiver.transport for t in one.pc.getTransceivers()}
                    await poll(lambda of=transports: all(t.state == "closed" for t in of))  # type: ignore[misc]
                assert await asyncio.wait_for(process.wait(), EXIT_S) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
async def test_a_second_signal_ends_at_once(number: signal.Signals) -> None:
    """callers are told all the same, and an engine that does not react is no reason to wait."""
    async with (
        slipstream(*LONG) as (process, address),
        aiohttp.ClientSession(address) as http,
    ):
        engine = (await health(address))["engine_pid"]
        async with dial(http, camera=Camera(fps=10)) as call:
            await call.until_frames(1)
            process.send_signal(signal.SIGTERM)
            await call.until_event("server_stopping")
            os.kill(engine, signal.SIGSTOP)
            process.send_signal(number)
            assert (await call.until_event("stream_stopped"))["server_stops"]
            assert await asyncio.wait_for(process.wait(), EXIT_S) == 0
        assert not runs(engine)


async def test_a_call_that_is_being_made_is_told_once_it_can_be() -> None:
    """its data channel was not open when the drain began."""
    async with (
        slipstream(*LONG) as (process, address),
        aiohttp.ClientSession(address) as http,
    ):
        await health(address)
        async with dial(http, camera=Camera(fps=10)) as call:  # answered, not connected yet
            process.send_signal(signal.SIGTERM)
            told = await call.until_event("server_stopping")
            assert told["resume_token"] == call.resume
        assert await asyncio.wait_for(process.wait(), EXIT_S) == 0


async def test_a_server_that_hands_over_says_so() -> None:
    """its callers move at once, and newcomers are to ask again, since others answer."""
    async with (
        slipstream(*LONG, "--hand-over", "true") as (process, address),
        aiohttp.ClientSession(address) as http,
    ):
        await health(address)
        async with dial(http, camera=Camera(fps=10)) as call:
            await call.until_frames(1)
            process.send_signal(signal.SIGTERM)
            assert (await call.until_event("server_stopping"))["hands_over"]
            async with dial(http, camera=Camera(fps=10)) as refused:
                assert (refused.status, refused.retry_after_s) == (503, "1")
        assert await asyncio.wait_for(process.wait(), EXIT_S) == 0
