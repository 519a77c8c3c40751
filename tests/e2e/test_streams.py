"""The list of streams and the dock, about a stream that a page sends by WHIP."""

import aiohttp
import pytest
from playwright.async_api import Browser

from tests.e2e.server import RunningServer
from tests.e2e.studio import opened_page
from tests.e2e.test_page_states import until
from tests.e2e.test_whip import PUBLISH

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_whip_stream_is_seen_and_steered_without_a_call(
    browser: Browser, server: RunningServer
) -> None:
    """its picture comes, and a prompt goes from the list to the stream, and to the dock."""
    async with opened_page(browser, server.url) as publisher:
        location = await publisher.page.evaluate(PUBLISH, f"{server.url}/whip/stage")
        async with opened_page(browser, f"{server.url}/streams.html") as listed:
            page = listed.page
            await until(page, "document.querySelector('.card img')?.naturalWidth > 0")
            await page.get_by_text("Steer", exact=True).click()
            prompt = page.get_by_role("textbox", name="Prompt")
            await prompt.fill("dusk")
            await prompt.press("Enter")
            await page.get_by_text("In force", exact=True).wait_for()
            address = f"{server.url}/api/v1/streams/stage/parameters"
            async with aiohttp.ClientSession() as http, http.get(address) as response:
                parameters = await response.json()
            assert parameters["prompts"] == [{"text": "dusk", "weight": 1.0}]
            await page.goto(f"{server.url}/dock.html?stream=stage")
            await page.wait_for_selector("fieldset:enabled")
            assert await page.get_by_role("textbox", name="Prompt").input_value() == "dusk"
            assert listed.failures == []
        deleted = await publisher.page.evaluate(
            "async (path) => (await fetch(path, { method: 'DELETE' })).status", location
        )
        assert deleted == 200
