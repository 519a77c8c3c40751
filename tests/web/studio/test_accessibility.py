"""The studio page before a call, as `tests/web/accessibility.py` sees it; a call is in `e2e`."""

import pytest

from tests.web.accessibility import findings
from tests.web.conftest import SECURE, FakeServer
from tests.web.studio.test_controls import health

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

DESKTOP, PHONE = (1280, 900), (360, 740)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_nobody_is_kept_out(server: FakeServer, scheme: str, size: tuple[int, int]) -> None:
    """idle, with a mixture, snapshots and cues, after an error, and on the sheet of keys."""
    page = server.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    server.respond("/health", 200, health(["pencil", "neon"], ["red"]))
    await page.goto(SECURE)
    await page.get_by_role("button", name="pencil", exact=True).click()
    found = {"idle": await findings(page)}
    await page.click("#add-prompt")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Shift+Digit1")
    await page.keyboard.press("q")
    await page.locator("details").last.locator("summary").click()
    await page.click("#start")  # no camera is there
    await page.wait_for_selector("body[data-state=error]")
    assert await page.get_by_role("alert").filter(has_text="No camera was found").count() == 1
    found["error"] = await findings(page)
    await page.keyboard.press("?")
    found["keys"] = await findings(page)
    assert found == {"idle": [], "error": [], "keys": []}


async def test_the_page_follows_the_system(server: FakeServer) -> None:
    """dark or light; the picture's place is black in both."""
    page = server.page
    colour = "(one) => getComputedStyle(document.querySelector(one)).backgroundColor"
    grounds = {}
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        await page.goto(SECURE)
        grounds[scheme] = [await page.evaluate(colour, one) for one in ("body", "#stage")]
    assert grounds == {
        "dark": ["rgb(12, 14, 17)", "rgb(0, 0, 0)"],
        "light": ["rgb(243, 244, 246)", "rgb(0, 0, 0)"],
    }
