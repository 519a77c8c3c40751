"""Pages in a real browser before a fleet's gate: a node that stops hands its calls over."""

import os
import signal
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page

from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import Studio, opened_page
from tests.e2e.test_recovery import events_of, readable, record_events
from tests.fleet.gates import node_at, running_gate

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NODE = ("--hand-over", "true", "--max-waiting", "0")
# what is on the screen from now on, and whether the page ever showed the kept picture alone
_WATCH = """
() => {
  window.statuses = new Set();
  setInterval(() => {
    window.statuses.add(document.querySelector("#status-title")?.textContent
      ?? document.body.dataset.state);
  }, 20);
}
"""


async def statuses(page: Page) -> set[str]:
    return set(await page.evaluate("[...window.statuses]"))


async def home(url: str) -> str:
    """The node that has the one stream that does not stop."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/api/v1/fleet") as response:
        nodes = (await response.json())["nodes"]
    (name,) = (one["node"] for one in nodes if one["streams"] and one["state"] == "ready")
    return str(name)


async def until_moved(studio: Studio) -> None:
    """Until the page shows another server's call, after it was told that its own stops."""
    await studio.page.wait_for_function(
        """() => {
          const told = window.events.findIndex(({ type }) => type === "server_stopping");
          return told >= 0 && window.events.slice(told).some(({ state }) => state === "live");
        }"""
    )
    await studio.until("live")


async def test_a_page_is_carried_through_a_drain(browser: Browser, tmp_path: Path) -> None:
    """its call moves with its prompt and its name, and so does its viewer's; neither page says that
    anything broke off, and the node ends as soon as the last one has left."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "a", drain_s=60, more=NODE) as first,
        running_server(pipeline="echo", log=tmp_path / "b", drain_s=60, more=NODE) as second,
        running_gate([node_at("a", first.url), node_at("b", second.url)]) as url,
        opened_page(browser, url) as studio,
        opened_page(browser, f"{url}/view") as view,
    ):
        servers: dict[str, RunningServer] = {"a": first, "b": second}
        await record_events(studio)
        await studio.start()
        await studio.prompt("dusk")
        await view.until("live")
        link = await studio.page.input_value("#view-url")
        before = (await events_of(studio.page, "state"))[-1]
        leaving = await home(url)
        await studio.page.evaluate(_WATCH)
        await view.page.evaluate(_WATCH)
        os.kill(servers[leaving].pid, signal.SIGTERM)
        await until_moved(studio)
        after = (await events_of(studio.page, "state"))[-1]
        assert after["stream"] == before["stream"]
        assert after["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
        assert readable(await studio.record(count=20)) > 10
        assert readable(await view.record(count=20)) > 10
        assert await home(url) != leaving
        assert await studio.page.input_value("#view-url") == link
        assert await statuses(studio.page) <= {
            "Live",
            "The server is being stopped: this call moves to another one by itself…",
        }
        assert await statuses(view.page) == {"live"}
        await studio.prompt("dawn")


async def test_a_page_comes_back_when_its_node_is_killed(browser: Browser, tmp_path: Path) -> None:
    """on another node, by itself, with its prompt and its name; its viewer too."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "a", more=NODE) as first,
        running_server(pipeline="echo", log=tmp_path / "b", more=NODE) as second,
        running_gate([node_at("a", first.url), node_at("b", second.url)]) as url,
        opened_page(browser, url) as studio,
        opened_page(browser, f"{url}/view") as view,
    ):
        servers: dict[str, RunningServer] = {"a": first, "b": second}
        await record_events(studio)
        await studio.start()
        await studio.prompt("dusk")
        await view.until("live")
        before = (await events_of(studio.page, "state"))[-1]
        os.kill(servers[await home(url)].pid, signal.SIGKILL)
        await view.until("connecting")
        await view.until("live")
        await studio.page.wait_for_function(
            "() => window.events.filter(({ state }) => state === 'warming').length > 1"
        )
        assert readable(await studio.record(count=20)) > 10
        after = (await events_of(studio.page, "state"))[-1]
        assert after["stream"] == before["stream"]
        assert after["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
