"""The command as people run it: it says where it is, serves, and leaves nothing running."""

import asyncio
import signal

import aiohttp
import pytest
import yarl
from slipstream_server.http.static import web_root

from tests.server.calls import Camera, dial
from tests.server.command import health, runs, slipstream
from tests.server.serving import poll
from tests.server.signing_in import opened_by_link


@pytest.mark.parametrize("ignores_sigint", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_and_stops_cleanly_when_asked(
    number: signal.Signals, ignores_sigint: bool
) -> None:
    """exit code 0, and the engine is gone before the server is; also as a background job, which
    inherits that SIGINT is ignored.
    """
    async with slipstream(ignores_sigint=ignores_sigint) as (process, address):
        answer = await health(address)
        assert answer["engine_state"] == "ready"
        assert answer["pipeline"] == "echo"
        assert runs(answer["engine_pid"])
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert not runs(answer["engine_pid"])


async def test_callers_are_notified_when_it_is_asked_to_stop() -> None:
    """publisher and viewer; a stream within its resume window does not delay the end."""
    async with slipstream() as (process, address), aiohttp.ClientSession(address) as http:
        await health(address)
        async with dial(http, camera=Camera(fps=10)) as call:
            await call.until_frames(1)
        async with (
            dial(http, camera=Camera(fps=10)) as call,
            dial(http, watch=True, view=call.stream) as watcher,
        ):
            for one in (call, watcher):
                await one.until_event("state", state="live")
            process.send_signal(signal.SIGTERM)
            for one in (call, watcher):
                stopped = await one.until_event("stream_stopped")
                assert "the server is stopping" in stopped["error_message"]
                assert stopped["server_stops"]
            assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_the_address_it_prints_opens_the_api_whatever_the_token() -> None:
    """it says nothing of the token itself: what is printed is kept in logs."""
    token = "a&b#c d+e/f?g%h=i"
    async with (
        slipstream("--token", token) as (_, address),
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        link = yarl.URL(address)
        assert token not in str(link.query)
        page, where = await opened_by_link(http, link)
        assert where == link.origin() / ""
        async with http.get(link.origin() / "metrics", headers=page) as response:
            assert response.status == 200


async def test_a_caller_who_never_ends_its_request_does_not_hold_up_the_end() -> None:
    async with slipstream() as (process, address):
        await health(address)
        url = yarl.URL(address)
        _, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST /api/v1/webrtc/offer HTTP/1.1\r\nHost: {url.authority}\r\n"
        writer.write(head.encode() + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        await health(address)  # the server has had a turn to read it
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        writer.close()


async def test_an_engine_does_not_outlive_a_killed_server() -> None:
    """the closed channel tells it."""
    async with slipstream() as (process, address):
        pid = (await health(address))["engine_pid"]
        process.kill()
        await process.wait()
        await poll(lambda: not runs(pid))


async def test_the_page_is_served_with_all_it_names() -> None:
    """the studio, the clean view, and every script and style of the checkout."""
    root = web_root()
    async with slipstream() as (_, address), aiohttp.ClientSession() as http:
        names = [
            "",
            "view",
            "view/",
            "view/some-stream",
            *(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()),
        ]
        for name in names:
            async with http.get(address + name) as response:
                assert response.status == 200, name
                kind = response.content_type
            if name.endswith(".js"):
                assert kind in ("text/javascript", "application/javascript")
