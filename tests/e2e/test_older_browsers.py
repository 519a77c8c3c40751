"""Browsers without some newer interface: the call opens, or the page names what is missing."""

import asyncio

import pytest
from playwright.async_api import Browser

from tests.e2e.server import RunningServer
from tests.e2e.studio import opened_page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# each is newer than browsers that people still have, or turned off by some
_MISSING = (
    "delete AbortSignal.any",
    "delete AbortSignal.timeout",
    "delete HTMLVideoElement.prototype.requestVideoFrameCallback",
    "delete globalThis.structuredClone",
    "delete Navigator.prototype.permissions",
    "delete Navigator.prototype.wakeLock",
    "delete Array.prototype.at",
    "delete RTCRtpSender.prototype.setParameters",
    "delete RTCRtpReceiver.prototype.jitterBufferTarget",
    "delete MediaDevices.prototype.getSupportedConstraints",
    "delete globalThis.OffscreenCanvas",
    "for (const one of ['localStorage', 'sessionStorage']) Object.defineProperty(globalThis, one, "
    "{ get() { throw new DOMException('turned off', 'SecurityError'); } })",
)
_NEEDED = {
    "delete RTCRtpSender.prototype.replaceTrack": "RTCRtpSender.replaceTrack",
    "delete globalThis.AbortController": "AbortController",
}


async def call_without(browser: Browser, url: str, script: str) -> None:
    """A call whose page ran `script` first; it is stopped once its picture is there."""
    async with opened_page(browser, "about:blank") as studio:
        await studio.page.add_init_script(script)
        await studio.page.goto(url)
        await studio.start()
        await studio.stop()


async def test_a_call_opens_whatever_newer_interface_is_missing(
    browser: Browser, server: RunningServer
) -> None:
    """each has a fall-back: the picture comes, and can be stopped."""
    for pair in zip(_MISSING[::2], _MISSING[1::2], strict=True):
        async with asyncio.TaskGroup() as calls:
            for script in pair:
                calls.create_task(call_without(browser, server.url, script))


async def test_what_has_no_fall_back_is_named(browser: Browser, server: RunningServer) -> None:
    """the page says that the browser is too old, and what it lacks, before Start."""
    for script, name in _NEEDED.items():
        async with opened_page(browser, "about:blank") as studio:
            await studio.page.add_init_script(script)
            await studio.page.goto(server.url)
            advice = studio.page.locator("#notice-advice")
            await advice.get_by_text(f"It lacks {name}").wait_for()
            assert "too old" in await studio.status()


async def test_a_browser_that_cannot_read_the_modules_is_told(
    browser: Browser, server: RunningServer
) -> None:
    """by a script in the oldest JavaScript."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.route("**/studio/main.js", lambda route: route.fulfill(body="await = 1;"))
    await page.goto(server.url)
    await page.get_by_text("This browser is too old for this page").wait_for()
    await context.close()
