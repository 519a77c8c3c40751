"""Snapshots and cues in a call, and a change that is begun elsewhere: what reaches the stream."""

import contextlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page
from pythonosc.udp_client import SimpleUDPClient

from tests.e2e.browser import running_chromium
from tests.e2e.server import running_server
from tests.e2e.studio import opened_page
from tests.e2e.test_page_states import until
from tests.e2e.test_recovery import events_of, record_events
from tests.server.ports import free_range
from tests.web.accessibility import findings

pytestmark = pytest.mark.browser

CUES = """() => {
  const show = JSON.parse(localStorage.getItem("show"));
  const cue = (snapshot, hold_s) => ({ snapshot, over_s: 0, hold_s });
  show.cueList = { cues: [cue(1, null), cue(2, 0.2), cue(1, 0.2), cue(2, null)], repeats: false };
  localStorage.setItem("show", JSON.stringify(show));
  window.dispatchEvent(new StorageEvent("storage", { key: "show" }));
}"""


async def keep(page: Page, digit: int, *, prompt: str, seed: int) -> None:
    await page.fill("#prompt", prompt)
    await page.press("#prompt", "Enter")
    await page.fill("#seed", str(seed))
    await page.press("#seed", "Enter")
    await page.locator("#seed").blur()
    await page.keyboard.press(f"Shift+Digit{digit}")


async def in_force(page: Page) -> list[tuple[str, int]]:
    """The prompts and seeds that have been in force, one after the other."""
    updates = [event["parameters"] for event in await events_of(page, "parameters_updated")]
    found = [(one["prompts"][0]["text"], one["seed"]) for one in updates]
    return [one for at, one in enumerate(found) if at == 0 or one != found[at - 1]]


async def until_in_force(page: Page, seed: int, count: int) -> None:
    """Until `seed` has come into force for the `count`th time."""
    expression = f"""window.events.filter(({{ type }}) => type === "parameters_updated")
      .map(({{ parameters }}) => parameters.seed)
      .filter((one, at, all) => one === {seed} && all[at - 1] !== one).length >= {count}"""
    await until(page, expression)


async def test_a_show_runs_in_a_call(chromium: Path, numbers: Path, tmp_path: Path) -> None:
    """digits go to snapshots, space and time to cues, the run ends with the call; a change that is
    begun elsewhere shows its bar, axe-core finds nothing on the page in dark or light, and OSC goes
    to a snapshot of the page."""
    osc_port = free_range(1).low
    async with (
        running_server(
            pipeline="echo", log=tmp_path / "server.log", more=("--osc-port", str(osc_port))
        ) as server,
        running_chromium(chromium, camera=numbers) as browser,
        opened_page(browser, server.url) as studio,
        aiohttp.ClientSession() as http,
    ):
        page = studio.page
        await record_events(studio)
        await studio.start()
        await keep(page, 1, prompt="dawn", seed=1)
        await keep(page, 2, prompt="dusk", seed=2)
        await until_in_force(page, 2, 1)
        await page.keyboard.press("1")
        await until_in_force(page, 1, 2)
        await page.keyboard.press("u")
        await until_in_force(page, 2, 2)

        await page.evaluate(CUES)
        await page.keyboard.press(" ")
        await page.locator("#cue-where").get_by_text("Cue 1 of 4: dawn, then dusk").wait_for()
        await until_in_force(page, 1, 3)
        await page.keyboard.press(" ")
        await page.locator("#cue-where").get_by_text("Cue 4 of 4: dusk, the last").wait_for()
        await until_in_force(page, 2, 4)
        assert (await in_force(page))[-4:] == [("dawn", 1), ("dusk", 2)] * 2

        stream = (await events_of(page, "state"))[-1]["stream"]
        target: dict[str, Any] = {"target_prompts": [{"text": "night"}], "num_steps": 60}
        address = f"{server.url}/api/v1/streams/{stream}/parameters"
        async with http.patch(address, json={"transition": target}) as answer:
            assert answer.status == 200
        await page.wait_for_selector("#blend-progress:not([hidden])")
        await until(page, "document.querySelector('#blend-progress').value > 0")
        assert await page.input_value("#prompt") == "night"

        for scheme in ("dark", "light"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await findings(page) == [], scheme

        with contextlib.closing(SimpleUDPClient("127.0.0.1", osc_port)) as deck:
            deck.send_message("/slipstream/snapshot-1", 1.0)
        await until_in_force(page, 1, 5)

        await page.click("#stop")
        await studio.until("idle")
        assert await page.inner_text("#cue-where") == ""
        assert await page.is_disabled("#cue-go")
