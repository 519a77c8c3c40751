"""What a viewer in a real browser keeps when the engine, the page or the network breaks off."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.barcode import read
from tests.bench.link import LinkUnavailable, capped_link
from tests.e2e.browser import running_chromium
from tests.e2e.looks import Pictures
from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import LIVE_MS, Studio, opened_page, opened_studio

pytestmark = pytest.mark.browser

# Keeps what the server says on every data channel; before any script of the page.
_OVERHEAR = """
window.heard = [];
const create = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...given) {
  const channel = create.apply(this, given);
  channel.addEventListener("message", ({ data }) => {
    if (typeof data === "string") window.heard.push(JSON.parse(data));
  });
  return channel;
};
"""


async def overhear(studio: Studio) -> None:
    """Open the page again with its channel overheard."""
    await studio.page.add_init_script(_OVERHEAR)
    await studio.page.reload()


async def heard(page: Page, kind: str) -> list[dict[str, Any]]:
    """Events of a kind that have come since the page was loaded."""
    events: list[dict[str, Any]] = await page.evaluate(
        "(kind) => window.heard.filter(({ type }) => type === kind)", kind
    )
    return events


async def until_says(studio: Studio, words: str) -> None:
    await studio.page.locator("#status-title").get_by_text(words).wait_for(timeout=LIVE_MS)


async def until_health(server: RunningServer, **figures: Any) -> None:
    """As soon as the server says so of itself."""
    for _ in range(600):
        health = await server.health()
        if figures.items() <= health.items():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it was never {figures}: {health}")


def readable(pictures: Pictures) -> int:
    return sum(read(luma) is not None for luma in pictures.luma)


async def kill_engine(server: RunningServer) -> None:
    os.kill((await server.health())["engine_pid"], signal.SIGKILL)


async def test_the_call_stays_up_when_the_engine_dies(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """The page says what happens, keeps the last picture, and goes on with the same prompt."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_studio(chromium, server.url, camera=numbers) as studio,
    ):
        await overhear(studio)
        await studio.start()
        await studio.prompt("dusk")
        before = await studio.page.input_value("#view-url")
        await kill_engine(server)
        await until_says(studio, "The engine stopped and is being started again")
        assert await studio.page.is_hidden("#notice")
        await until_says(studio, "Live")
        assert readable(await studio.record(count=20)) > 10
        assert await studio.page.input_value("#view-url") == before
        states = await heard(studio.page, "state")
        assert (states[-1]["state"], states[-1]["epoch"]) == ("live", 2)
        assert states[-1]["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]


async def test_a_reloaded_page_comes_back_to_its_stream(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """Same stream, same prompt, chunks numbered on, without a hand; who watches it stays."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        running_chromium(chromium, camera=numbers) as browser,
        opened_page(browser, server.url) as studio,
        opened_page(browser, f"{server.url}/view") as view,
    ):
        await overhear(view)
        await overhear(studio)
        await studio.start()
        await studio.prompt("dusk")
        await view.until("live")
        stream = (await heard(studio.page, "state"))[-1]["stream"]
        (applied,) = await heard(studio.page, "applied")
        await studio.page.reload()
        await studio.until("live")
        back = (await heard(studio.page, "state"))[-1]
        assert (back["stream"], back["epoch"]) == (stream, 1)
        assert back["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
        await studio.prompt("dawn")
        assert (await heard(studio.page, "applied"))[0]["chunk"] > applied["chunk"]
        assert readable(await studio.record(count=20)) > 10
        assert readable(await view.record(count=20)) > 10
        seen = [event["state"] for event in await heard(view.page, "state")]
        assert "held" in seen and seen[-1] == "live"
        assert not await heard(view.page, "stream_stopped")
        await studio.page.click("#stop")
        await studio.page.reload()
        await studio.until("idle")
        health = await server.health()
        assert (health["sessions"], health["held"]) == (0, 0)


async def test_a_server_that_falls_silent_is_noticed_and_found_again(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """Once it goes on, the page is back on the same stream; Stop in between gives that back."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_studio(chromium, server.url, camera=numbers) as studio,
    ):
        await overhear(studio)
        await studio.start()
        stream = (await heard(studio.page, "state"))[-1]["stream"]
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await until_says(studio, "The connection broke off")
            assert await studio.page.is_hidden("#notice")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await until_says(studio, "Live")
        assert readable(await studio.record(count=20)) > 10
        back = (await heard(studio.page, "state"))[-1]
        assert (back["stream"], back["epoch"]) == (stream, 1)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await until_says(studio, "The connection broke off")
            await studio.page.click("#stop")
            await studio.until("idle")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await until_health(server, sessions=0, held=0)


async def test_a_network_that_comes_back_brings_the_stream_back(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """The cable is pulled: both ends notice, nobody says goodbye; plugged in, all is as it was."""
    token = "a-token-for-this-test"
    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(capped_link(kbps=100_000))
        except LinkUnavailable as error:
            pytest.skip(f"no network of its own can be had here: {error}")
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
            await overhear(studio)
            await studio.start()
            await studio.prompt("dusk")
            stream = (await heard(studio.page, "state"))[-1]["stream"]
            (applied,) = await heard(studio.page, "applied")
            with link.cut():
                await until_says(studio, "The connection broke off")
                assert await studio.page.is_hidden("#notice")
                await until_health(server, sessions=0, held=1)
            await until_says(studio, "Live")
            assert readable(await studio.record(count=20)) > 10
            back = (await heard(studio.page, "state"))[-1]
            assert (back["stream"], back["epoch"]) == (stream, 1)
            await studio.prompt("dawn")
            assert (await heard(studio.page, "applied"))[-1]["chunk"] > applied["chunk"]
            said = (tmp_path / "server.log").read_text()
            assert "nothing heard from the viewer for 4 s" in said


async def test_a_server_started_anew_gets_a_fresh_call(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """Its streams are gone with it: the page makes a new one with the same prompt by itself."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "first.log") as first,
        opened_studio(chromium, first.url, camera=numbers) as studio,
    ):
        await overhear(studio)
        await studio.start()
        await studio.prompt("dusk")
        os.kill(first.pid, signal.SIGKILL)
        await until_says(studio, "The connection broke off")
        port = int(first.url.rpartition(":")[2])
        async with running_server(pipeline="echo", log=tmp_path / "second.log", port=port):
            await until_says(studio, "Live")
            assert readable(await studio.record(count=20)) > 10
            state = (await heard(studio.page, "state"))[-1]
            assert state["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
