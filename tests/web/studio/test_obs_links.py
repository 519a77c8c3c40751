"""`studio/obs_links.js`: the addresses that the page offers for OBS."""

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("query", ["", "?token=a%26b"])
async def test_links_to_the_view_carry_the_token(server: FakeServer, query: str) -> None:
    """the WHIP address does not: OBS has a field of its own for it."""
    page = server.page
    await page.goto(f"{SECURE}/{query}")
    assert await page.input_value("#view-url") == f"{SECURE}/view{query}"
    assert await page.get_attribute("#open-view", "href") == f"{SECURE}/view{query}"
    assert await page.get_attribute("#sent-view", "href") == f"{SECURE}/view/obs{query}"
    assert await page.input_value("#whip-url") == f"{SECURE}/whip/obs"
