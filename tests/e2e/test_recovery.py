"""Calls in a real browser survive the loss of engine, page, network or server."""

import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from slipstream_server.probe.marker import read_marker

from tests.bench.link import LinkUnavailable, capped_link
from tests.e2e.browser import running_chromium
from tests.e2e.pictures import Pictures
from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import LIVE_MS, Studio, opened_page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Records the server's events on every data channel; runs before any script of the page.
_RECORD_EVENTS = """
window.events = [];
const create = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...options) {
  const channel = create.apply(this, options);
  channel.addEventListener("message", ({ data }) => {
    if (typeof data === "string") window.events.push(JSON.parse(data));
  });
  return channel;
};
"""


async def record_events(studio: Studio) -> None:
    """Reload the page with its events recorded."""
    await studio.page.add_init_script(_RECORD_EVENTS)
    await studio.page.reload()


async def events_of(page: Page, kind: str) -> list[dict[str, Any]]:
    """Events of a kind since the page was loaded."""
    events: list[dict[str, Any]] = await page.evaluate(
        "(kind) => window.events.filter(({ type }) => type === kind)", kind
    )
    return events


async def until_status(studio: Studio, text: str) -> None:
    await studio.page.locator("#status-title").get_by_text(text).wait_for(timeout=LIVE_MS)


def readable(pictures: Pictures) -> int:
    return sum(read_marker(luma) is not None for luma in pictures.luma)


async def kill_engine(server: RunningServer) -> None:
    os.kill((await server.health())["engine_pid"], signal.SIGKILL)


async def test_the_call_stays_up_when_the_engine_dies(browser: Browser, tmp_path: Path) -> None:
    """The page shows the cause and the last picture, and goes on with the same prompt."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_page(browser, server.url) as studio,
    ):
        await record_events(studio)
        await studio.start()
        await studio.prompt("dusk")
        before = await studio.page.input_value("#view-url")
        await kill_engine(server)
        await until_status(studio, "The engine stopped and is being started again")
        assert await studio.page.is_hidden("#notice")
        await until_status(studio, "Live")
        assert readable(await studio.record(count=20)) > 10
        assert await studio.page.input_value("#view-url") == before
        states = await events_of(studio.page, "state")
        assert (states[-1]["state"], states[-1]["epoch"]) == ("live", 2)
        assert states[-1]["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]


async def test_a_reloaded_page_resumes_its_stream(browser: Browser, server: RunningServer) -> None:
    """Same stream, same prompt, chunk numbers go on, unattended; its subscriber stays."""
    async with (
        opened_page(browser, server.url) as studio,
        opened_page(browser, f"{server.url}/view") as view,
    ):
        await record_events(view)
        await record_events(studio)
        await studio.start()
        await studio.prompt("dusk")
        await view.until("live")
        stream = (await events_of(studio.page, "state"))[-1]["stream"]
        (applied,) = await events_of(studio.page, "applied")
        await studio.page.reload()
        await studio.until("live")
        back = (await events_of(studio.page, "state"))[-1]
        assert (back["stream"], back["epoch"]) == (stream, 1)
        assert back["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
        await studio.prompt("dawn")
        assert (await events_of(studio.page, "applied"))[0]["chunk"] > applied["chunk"]
        assert readable(await studio.record(count=20)) > 10
        assert readable(await view.record(count=20)) > 10
        states = [event["state"] for event in await events_of(view.page, "state")]
        assert "held" in states and states[-1] == "live"
        assert not await events_of(view.page, "stream_stopped")
        await studio.page.click("#stop")
        await studio.page.reload()
        await studio.until("idle")
        health = await server.health()
        assert (health["sessions"], health["held"]) == (0, 0)


async def test_a_silent_server_is_noticed_and_the_stream_resumed(
    browser: Browser, tmp_path: Path
) -> None:
    """Once it goes on, the page resumes the same stream; Stop in between ends the stream."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_page(browser, server.url) as studio,
    ):
        await record_events(studio)
        await studio.start()
        stream = (await events_of(studio.page, "state"))[-1]["stream"]
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await until_status(studio, "The connection broke off")
            assert await studio.page.is_hidden("#notice")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await until_status(studio, "Live")
        assert readable(await studio.record(count=20)) > 10
        back = (await events_of(studio.page, "state"))[-1]
        assert (back["stream"], back["epoch"]) == (stream, 1)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await until_status(studio, "The connection broke off")
            await studio.page.click("#stop")
            await studio.until("idle")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await server.until_health(sessions=0, held=0)


async def test_the_stream_is_resumed_after_a_loss_of_network(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """Both ends notice that the link is cut, without a goodbye; restored, all is as before."""
    token = "a-token-for-this-test"
    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(capped_link(kbps=100_000))
        except LinkUnavailable as error:
            pytest.skip(f"a network namespace cannot be had: {error}")
        with socket.socket() as sock:
            sock.bind((link.host, 0))
            port = sock.getsockname()[1]
        origin = f"http://{link.host}:{port}"
        async with (
            running_server(
                pipeline="echo",
                log=tmp_path / "server.log",
                port=port,
                more=("--host", link.host, "--token", token),
            ) as server,
            running_chromium(
                link.inside(chromium),
                camera=numbers,
                more=(f"--unsafely-treat-insecure-origin-as-secure={origin}",),
            ) as browser,
            opened_page(browser, f"{origin}/?token={token}") as studio,
        ):
            await record_events(studio)
            await studio.start()
            await studio.prompt("dusk")
            stream = (await events_of(studio.page, "state"))[-1]["stream"]
            (applied,) = await events_of(studio.page, "applied")
            with link.cut():
                await until_status(studio, "The connection broke off")
                assert await studio.page.is_hidden("#notice")
                await server.until_health(sessions=0, held=1)
            await until_status(studio, "Live")
            assert readable(await studio.record(count=20)) > 10
            back = (await events_of(studio.page, "state"))[-1]
            assert (back["stream"], back["epoch"]) == (stream, 1)
            await studio.prompt("dawn")
            assert (await events_of(studio.page, "applied"))[-1]["chunk"] > applied["chunk"]
            log = (tmp_path / "server.log").read_text()
            assert "nothing received from the viewer for 4 s" in log


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restarted_server_gets_the_stream_back(
    browser: Browser, tmp_path: Path, number: signal.Signals
) -> None:
    """it was gone with the first server: the page begins it anew on the next one, by itself, with
    the same prompt and under the same name, so that the viewer's link holds. Where the server was
    asked to stop, the page has told so before."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "first.log", drain_s=2) as first,
        opened_page(browser, first.url) as studio,
    ):
        await record_events(studio)
        await studio.start()
        await studio.prompt("dusk")
        before = (await events_of(studio.page, "state"))[-1]
        async with opened_page(browser, f"{first.url}/view/{before['stream']}") as view:
            await view.until("live")
            os.kill(first.pid, number)
            if number == signal.SIGTERM:
                await until_status(studio, "The server is being stopped")
            await until_status(studio, "The connection broke off")
            port = int(first.url.rpartition(":")[2])
            async with running_server(pipeline="echo", log=tmp_path / "second.log", port=port):
                await until_status(studio, "Live")
                assert readable(await studio.record(count=20)) > 10
                state = (await events_of(studio.page, "state"))[-1]
                assert state["stream"] == before["stream"]
                assert state["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
                assert readable(await view.record(count=20)) > 10
