"""What a viewer in a real browser keeps when the engine, the page or the network breaks off."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.barcode import read
from tests.e2e.looks import Pictures
from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import LIVE_MS, Studio, opened_studio

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
    """Same stream, same prompt, chunks numbered on, without a hand; not in a second tab."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_studio(chromium, server.url, camera=numbers) as studio,
    ):
        await overhear(studio)
        await studio.start()
        await studio.prompt("dusk")
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
        await studio.page.click("#stop")
        await studio.page.reload()
        await studio.until("idle")
        health = await server.health()
        assert (health["sessions"], health["held"]) == (0, 0)


async def test_a_server_that_falls_silent_is_noticed_and_found_again(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """A stopped server says no goodbye; once it goes on, the page is back on the same stream."""
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
