"""The studio page's layout: what is in sight, and that nothing moves under the finger."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer
from tests.web.studio.test_controls import health

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WIDE, PHONE, SMALL_PHONE = (1440, 900), (390, 844), (360, 740)
STYLES = [f"a style called {number}" for number in range(20)]
LONGEST = "The connection broke off: the server was stopped. Coming back once it runs again…"
_PLACES = """
(selectors) => selectors.map((selector) => {
  const { left, top, right, bottom } = document.querySelector(selector).getBoundingClientRect();
  return [left, top, right, bottom];
})
"""


_WRITE = """([part, text]) => {
  for (const one of document.querySelectorAll(`.level .${part}`)) one.textContent = text;
}"""


async def places(server: FakeServer, *selectors: str) -> list[list[float]]:
    found: list[list[float]] = await server.page.evaluate(_PLACES, list(selectors))
    return found


async def opened(server: FakeServer, size: tuple[int, int], model: dict[str, Any]) -> None:
    await server.page.set_viewport_size({"width": size[0], "height": size[1]})
    server.respond("/health", 200, model)
    await server.page.goto(SECURE)


@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_nothing_moves_when_the_model_becomes_known(
    server: FakeServer, size: tuple[int, int]
) -> None:
    """neither its size, nor its styles, nor its note."""
    loading = {"ready": False, "engine_state": "starting", "engine_detail": "", "model": None}
    await opened(server, size, loading)
    await server.page.get_by_text("The model is loading").first.wait_for()
    fixed = ("#stage", "#prompt", "#start", "#vocabulary")
    before = await places(server, *fixed)
    server.respond("/health", 200, health(STYLES[:6], ["red"]))
    await server.page.get_by_role("button", name=STYLES[0]).wait_for()
    after = await places(server, *fixed)
    assert [place[:2] for place in after] == [place[:2] for place in before]
    assert after[:3] == before[:3]


async def test_figures_do_not_move_when_their_verdicts_come(server: FakeServer) -> None:
    """they are off while nothing new is shown."""
    await opened(server, WIDE, health(STYLES[:6], ["red"]))
    await server.page.get_by_role("button", name=STYLES[0]).wait_for()
    rows = ("[data-part=age]", "[data-part=miss]")
    await server.page.evaluate(_WRITE, ["target", "target 1.00 s"])
    before = await places(server, *rows)
    await server.page.evaluate(_WRITE, ["verdict", "missed"])
    assert await places(server, *rows) == before


async def test_the_styles_are_above_the_fold(server: FakeServer) -> None:
    """of a laptop's window, all of twenty, with the whole picture."""
    await opened(server, WIDE, health(STYLES, ["red", "blue"]))
    await server.page.get_by_role("button", name="red", exact=True).wait_for()
    for _, top, _, bottom in await places(server, "#stage", "#prompt", "#styles"):
        assert 0 <= top < bottom <= WIDE[1]


@pytest.mark.parametrize("size", [PHONE, SMALL_PHONE])
async def test_a_phone_keeps_the_picture_and_stop_in_sight(
    server: FakeServer, size: tuple[int, int]
) -> None:
    """wherever the page is scrolled to; nothing is wider than the screen."""
    await opened(server, size, health(STYLES, []))
    await server.page.get_by_role("button", name=STYLES[0], exact=True).wait_for()
    await server.page.keyboard.press("Shift+Digit9")
    await server.page.keyboard.press("q")
    for part in (0, 0.5, 1):
        await server.page.evaluate("(part) => scrollTo(0, part * document.body.scrollHeight)", part)
        for left, top, right, bottom in await places(server, "#stage", "#stop"):
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
    assert await server.page.evaluate("document.documentElement.scrollWidth") <= size[0]


async def test_a_phone_shows_every_word_of_the_status(server: FakeServer) -> None:
    """the longest sentence is broken into lines; none of any length is wider than its place, nor
    is the advice that only screen readers have."""
    await opened(server, PHONE, health([], []))
    overflows = await server.page.evaluate(
        """(text) => {
          const line = document.querySelector('#status');
          const title = document.querySelector('#status-title');
          return [...text].map((_, last) => {
            title.textContent = text.slice(0, last + 1);
            return [line.scrollWidth - line.clientWidth, title.getBoundingClientRect().right];
          });
        }""",
        LONGEST,
    )
    assert max(overflow for overflow, _ in overflows) <= 0
    assert max(right for _, right in overflows) <= PHONE[0]
