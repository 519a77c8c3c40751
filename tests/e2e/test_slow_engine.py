"""An engine that becomes slow in a call, and fast again: what the page says of it."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.server import running_server
from tests.e2e.studio import LIVE_MS, opened_page
from tests.e2e.test_echo import assert_in_order
from tests.e2e.test_page_states import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FAST_STEP_MS, SLOW_STEP_MS = "20", "170"  # four of them in 80 ms, and in 680
_SIZE = "((video) => `${video.videoWidth}x${video.videoHeight}`)(document.querySelector('#output'))"
LADDER = "4,1/360"
_DOWN = re.compile(
    r"^4 steps -> 1 step, the largest size -> 360 px: "
    r"(pictures were|only \d+ pictures a second were made)"
)
_UP = re.compile(
    r"^1 step -> 4 steps, 360 px -> the largest size: "
    r"pictures are .* s old, there is room for more$"
)


async def test_the_page_says_why_quality_falls_and_when_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    """a fall is explained in words and marked on the chart of ages, and so is the climb; pictures
    become smaller and larger on the same call, and move on."""
    step_ms = tmp_path / "step_ms"
    step_ms.write_text(FAST_STEP_MS)
    more = ("--echo-steps", str(step_ms), "--ladder", LADDER)
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log", more=more) as server,
        opened_page(browser, server.url) as studio,
    ):
        reason = studio.page.locator("#quality [data-part=text]")
        marks = studio.page.locator("#figures .spark-mark")
        await studio.start()
        await expect(reason).to_be_hidden()
        await expect(marks).to_have_count(0)
        step_ms.write_text(SLOW_STEP_MS)
        await expect(reason).to_have_text(_DOWN, timeout=LIVE_MS)
        await expect(marks.first).to_have_attribute("data-way", "down")
        await until(studio.page, f"{_SIZE} === '480x360'")
        step_ms.write_text(FAST_STEP_MS)
        await expect(reason).to_have_text(_UP, timeout=LIVE_MS)
        await expect(marks.last).to_have_attribute("data-way", "up")
        await until(studio.page, f"{_SIZE} === '640x480'")
        assert_in_order(await studio.record(count=20))
