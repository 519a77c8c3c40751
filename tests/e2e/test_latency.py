"""Glass-to-glass latency on the real page: measured, shown, and reported to the server."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.edge import CASES, SIZE, edge_figures
from tests.bench.media import record
from tests.e2e.browser import running_chromium
from tests.e2e.server import running_server
from tests.e2e.studio import opened_page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

DEADLINE_S = 20.0
UNKNOWN = "\u2013"  # shown for a figure that is not known
_STAGES = ("to_server", "collect", "playout", "send", "screen")  # that an echo has too


async def metrics(url: str) -> dict[str, float]:
    """All values of a server, by name and labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        return {
            sample.name + "".join(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(await response.text())
            for sample in family.samples
        }


async def test_the_page_measures_the_age_of_its_picture(browser: Browser, tmp_path: Path) -> None:
    """camera to screen by Chromium's own clock, by stage, and reported to the server."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_page(browser, server.url) as studio,
    ):
        await studio.start()
        glass = studio.page.locator("#figures [data-part=glass]")
        await glass.get_by_text("camera to screen").wait_for()
        assert await glass.locator("[data-part=glass-now]").inner_text() != UNKNOWN
        for stage in _STAGES:
            part = studio.page.locator(f"#figures [data-part=stage-{stage}]")
            assert await part.inner_text() != UNKNOWN
        await studio.page.locator("[data-part=trouble]").get_by_text("%").wait_for()
        reported: dict[str, float] = {}
        async with asyncio.timeout(DEADLINE_S):
            while not reported.get("slipstream_glass_to_glass_seconds_count50"):
                reported = await metrics(server.url)
        assert reported["slipstream_viewer_frames_totaldecoded"] > 0
        assert reported["slipstream_ttff_seconds_countfirst_shown"] == 1


async def test_the_measured_age_is_that_of_the_pixels(chromium: Path) -> None:
    """the age by stamps agrees with the age by the number in the picture, and most pictures have
    stamps."""
    async with running_chromium(chromium, camera=None) as browser:
        result, _ = await record(browser, CASES["echo"], SIZE, 6.0)
    figures = edge_figures("echo", result, 6.0)
    assert figures.timed_share is not None and figures.timed_share > 0.5
    assert figures.age_error_ms is not None
    assert figures.age_error_ms.p50 < figures.glass_ms.p50 / 2
