"""Glass to glass on the real page: known by itself, shown, and told to the server."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.edge import CASES, SIZE, edge_figures
from tests.bench.media import record
from tests.e2e.browser import running_chromium
from tests.e2e.server import running_server
from tests.e2e.studio import opened_studio

pytestmark = pytest.mark.browser

DEADLINE_S = 20.0
NOTHING = "\u2013"  # what stands where a figure is not known
_WAYS = ("to_server", "collect", "playout", "send", "screen")  # which an echo takes, too


async def metrics(url: str) -> dict[str, float]:
    """All values of a server, by name and labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        return {
            sample.name + "".join(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(await response.text())
            for sample in family.samples
        }


async def test_the_page_knows_how_old_its_picture_is(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """camera to screen by Chromium's own clock, in parts; the server hears of it."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_studio(chromium, server.url, camera=numbers) as studio,
    ):
        await studio.start()
        glass = studio.page.locator("#figures [data-part=glass]")
        await glass.get_by_text("camera to screen").wait_for()
        assert await glass.locator("[data-part=glass-now]").inner_text() != NOTHING
        for stage in _WAYS:
            part = studio.page.locator(f"#figures [data-part=stage-{stage}]")
            assert await part.inner_text() != NOTHING
        await studio.page.locator("[data-part=trouble]").get_by_text("%").wait_for()
        told: dict[str, float] = {}
        async with asyncio.timeout(DEADLINE_S):
            while not told.get("slipstream_glass_to_glass_seconds_count50"):
                told = await metrics(server.url)
        assert told["slipstream_viewer_frames_totaldecoded"] > 0
        assert told["slipstream_ttff_seconds_countfirst_shown"] == 1


async def test_the_reckoning_is_that_of_the_pixels(chromium: Path) -> None:
    """what the stamps say of a picture's age is what the number in it says, and nearly every
    picture has its stamps."""
    async with running_chromium(chromium, camera=None) as browser:
        result, _ = await record(browser, CASES["echo"], SIZE, 6.0)
    figures = edge_figures("echo", result, 6.0)
    assert figures.timed_share is not None and figures.timed_share > 0.5
    assert figures.age_error_ms is not None
    assert figures.age_error_ms.p50 < figures.glass_ms.p50 / 2
