"""Sound in a real browser: chosen, heard with the picture, and asked for where a tap is needed."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.e2e.browser import running_chromium
from tests.e2e.server import RunningServer
from tests.e2e.studio import opened_page
from tests.e2e.test_page_states import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NEEDS_TAP = "--autoplay-policy=document-user-activation-required"
# the fake microphone beeps once a second
_KEEP_CONNECTIONS = """(() => {
  window.connections = [];
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...args) {
      super(...args);
      window.connections.push(this);
    }
  };
})()"""
_RECEIVED = """(async (what) => {
  const stats = await window.connections.at(-1)?.getStats() ?? new Map();
  const all = [...stats.values()].filter(({ type }) => type === "inbound-rtp");
  return all.find(({ kind }) => kind === "audio")?.[what] ?? 0;
})"""
_COMES = f"{_RECEIVED}('packetsReceived').then((packets) => packets > 0)"
_IS_HEARD = f"{_RECEIVED}('totalAudioEnergy').then((energy) => energy > 1e-4)"
_IS_SILENT = "window.connections.at(-1).getSenders()[1].track === null"
_IS_MUTED = "document.querySelector('#output').muted"
_SKEW = "document.querySelector('[data-part=skew]').textContent"


async def test_sound_is_chosen_and_heard(
    browser: Browser, chromium: Path, server: RunningServer
) -> None:
    """off until it is chosen, while the call runs too; then it comes back, muted here until it is
    wanted, and goes to the view; a browser that plays nothing aloud before a tap says so."""
    async with (
        opened_page(browser, server.url) as studio,
        running_chromium(chromium, camera=None, more=[NEEDS_TAP]) as careful,
        opened_page(careful, f"{server.url}/health") as view,
    ):
        page = studio.page
        for one in (page, view.page):
            await one.context.add_init_script(_KEEP_CONNECTIONS)
        await page.reload()
        await studio.start()
        assert await page.input_value("#sound") == "off"
        assert not await page.evaluate(_COMES)
        await page.select_option("#sound", label="Microphone")
        await until(page, _COMES)
        assert await page.evaluate(_IS_MUTED)
        await page.locator("#sound").blur()
        await page.keyboard.press("Shift+M")
        assert not await page.evaluate(_IS_MUTED)
        await until(page, _IS_HEARD)
        await view.page.goto(await page.input_value("#view-url"))
        await view.page.click("text=Tap for sound")
        assert not await view.page.evaluate(_IS_MUTED)
        await until(view.page, _IS_HEARD)
        await until(page, f"{_SKEW}.includes('ms')")
        await page.select_option("#sound", "off")
        await until(page, _IS_SILENT)
