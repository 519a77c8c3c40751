"""`studio/obs_links.js`: the addresses that the page offers for OBS."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ACCESS = "#access=slip1p.admin.of-this-page"


def tokens(stream: str) -> dict[str, Any]:
    return {
        role: {"token": f"slip1.{role}.{stream}", "expiresS": 1}
        for role in ("view", "control", "publish")
    }


async def test_links_carry_signed_tokens_of_their_own(server: FakeServer) -> None:
    """the WHIP address has none: OBS has a field of its own for it, and so has the page."""
    for stream in ("*", "obs"):
        server.respond(f"/api/v1/streams/{stream}/tokens", 200, tokens(stream))
    page = server.page
    await page.goto(f"{SECURE}/{ACCESS}")
    await page.wait_for_selector("#whip-token-field:not([hidden])")
    view = f"{SECURE}/view/?token=slip1.view.*"
    assert await page.input_value("#view-url") == view
    assert await page.get_attribute("#open-view", "href") == view
    assert await page.get_attribute("#sent-view", "href") == (
        f"{SECURE}/view/obs?token=slip1.view.obs"
    )
    assert await page.input_value("#whip-url") == f"{SECURE}/whip/obs"
    assert await page.input_value("#whip-token") == "slip1.publish.obs"
    assert await page.get_attribute("#whip-token", "type") == "password"
    assert "of-this-page" not in await page.content()


@pytest.mark.parametrize("status", [200, 401])
async def test_without_tokens_the_links_are_plain(server: FakeServer, status: int) -> None:
    """where the server has none, and where this page may hand none out."""
    nothing = dict.fromkeys(("view", "control", "publish"))
    for stream in ("*", "obs"):
        server.respond(f"/api/v1/streams/{stream}/tokens", status, nothing)
    page = server.page
    await page.goto(f"{SECURE}/")
    await page.wait_for_load_state("networkidle")
    assert await page.input_value("#view-url") == f"{SECURE}/view/"
    assert await page.is_hidden("#whip-token-field")


async def test_a_call_that_has_begun_keeps_the_address_of_its_stream(server: FakeServer) -> None:
    """also where the answer about the newest stream comes after it."""
    for stream in ("*", "obs"):
        server.respond(f"/api/v1/streams/{stream}/tokens", 200, tokens(stream))
    page = server.page
    await page.goto(f"{SECURE}/")
    await page.wait_for_selector("#whip-token-field:not([hidden])")
    await page.evaluate(
        """async () => {
            const { showAddresses, showViewAddress } = await import("/studio/obs_links.js");
            const done = showAddresses();
            showViewAddress("mine", "slip1.view.mine");
            await done;
        }"""
    )
    assert await page.input_value("#view-url") == f"{SECURE}/view/mine?token=slip1.view.mine"
