"""`studio/style_list.js` and the styles on the page: favourites, and finding one."""

import pytest

from tests.web.conftest import SECURE, FakeServer
from tests.web.studio.test_controls import health

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_FAVOUR = """async (toggled) => {
  const { inOrderOfFavour, withFavourite } = await import("/studio/style_list.js");
  const favourites = toggled.reduce(withFavourite, []);
  return inOrderOfFavour(["ice", "lava", "gold", "neon"], favourites);
}"""
_FIND = """async (queries) => {
  const { isFound } = await import("/studio/style_list.js");
  const styles = ["oil painting", "x-ray", "pop art"];
  return queries.map((one) => styles.filter((style) => isFound(style, one)));
}"""
_PARSE = """async (texts) => {
  const { parseFavourites } = await import("/studio/style_list.js");
  return texts.map(parseFavourites);
}"""


async def test_favourites_come_first(server: FakeServer) -> None:
    """in the order of the list, and those of another model are no trouble."""
    assert await server.evaluate(_FAVOUR, []) == ["ice", "lava", "gold", "neon"]
    chosen = ["neon", "lava", "another model's"]
    assert await server.evaluate(_FAVOUR, chosen) == ["lava", "neon", "ice", "gold"]
    assert await server.evaluate(_FAVOUR, [*chosen, "lava"]) == ["neon", "ice", "lava", "gold"]


async def test_words_are_found_by_their_beginnings(server: FakeServer) -> None:
    """in any order and size of letters; nothing sought is everything."""
    found = await server.evaluate(_FIND, ["", "PAINT", "art pop", "ray", "il", "x-r"])
    everything = ["oil painting", "x-ray", "pop art"]
    assert found == [everything, ["oil painting"], ["pop art"], ["x-ray"], [], ["x-ray"]]


async def test_favourites_that_cannot_be_read_are_none(server: FakeServer) -> None:
    found = await server.evaluate(_PARSE, [None, "{", "{}", '["ice", 3]'])
    assert found == [[], [], [], ["ice"]]


async def test_a_style_is_found_and_favoured(server: FakeServer) -> None:
    """Enter takes the first that is found; its picture is shown, and it is the first after a
    reload."""
    server.respond("/health", 200, health(["pencil", "neon", "ice"], ["red"]))
    page = server.page
    await page.goto(SECURE)
    styles = page.locator("#styles button")
    await styles.first.wait_for()
    assert await page.is_disabled("#favourite")
    await page.keyboard.press("/")
    await page.keyboard.type("ic")
    assert [await styles.nth(at).is_visible() for at in range(3)] == [False, False, True]
    await page.keyboard.press("Enter")
    assert await page.input_value("#prompt") == "ice"
    await page.fill("#find-style", "")
    await page.locator("#find-style").press("Escape")
    await page.keyboard.press("z")
    assert await styles.all_inner_texts() == ["ice", "pencil", "neon"]
    await page.reload()
    await styles.first.wait_for()
    assert await styles.all_inner_texts() == ["ice", "pencil", "neon"]
    image = "(one) => getComputedStyle(one).backgroundImage"
    assert "styles.webp" in await page.locator("#styles .thumb").first.evaluate(image)
    assert ("GET", "/studio/styles.webp") in server.requests
