"""The snapshots on the page, kept, called and undone, by hand and by keys: `studio/desk.js`,
`studio/snapshot_panel.js`, `studio/cue_panel.js`, `studio/keys.js`."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.web.conftest import SECURE, FakeServer
from tests.web.studio.shows import show
from tests.web.studio.test_controls import health

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_NAMES = """async () => {
  const { withName, withSnapshot } = await import("/studio/snapshots.js");
  const look = (...texts) => ({ mix: { rows: texts.map((text) => ({ text })) } });
  const kept = withSnapshot([], 4, look("pencil", " ", "a very long prompt about neon lights"));
  const again = withSnapshot(kept, 4, look(" "));
  const named = withName(again, 4, "  mine ");
  return [kept, again, named, withSnapshot(named, 4, look("dusk")), withName(named, 4, " ")]
    .map(([{ name }]) => name);
}"""


async def opened(server: FakeServer) -> Page:
    server.respond("/health", 200, health(["pencil", "neon"], []))
    await server.page.goto(SECURE)
    await server.page.get_by_role("button", name="pencil", exact=True).wait_for()
    return server.page


async def mix(page: Page, first: str, second: str, *, fade: str) -> None:
    await page.fill("#prompt", first)
    await page.click("#add-prompt")
    await page.keyboard.type(second)
    await page.keyboard.press("Enter")
    await page.locator("#fade").fill(fade)
    await page.locator("#fade").blur()


async def stands(page: Page) -> dict[str, Any]:
    """What the controls say."""
    ids = ["prompt", "fade", "strength", "seed", "blend", "blend-method"]
    found = {one: await page.input_value(f"#{one}") for one in ids}
    return found | {"mixed": await page.locator("#mix-rows > *").count()}


async def test_a_name_is_made_of_the_prompts_unless_one_was_given(server: FakeServer) -> None:
    """short; a given one stays when another look is kept, until it is taken away."""
    assert await server.evaluate(_NAMES) == [
        "pencil + a very long pr…",
        "no prompt",
        "mine",
        "mine",
        "no prompt",
    ]


async def test_a_look_is_kept_and_comes_back(server: FakeServer) -> None:
    """all of it, by keys and by click, also after the page was loaded again; a digit that is typed
    into a field is text."""
    page = await opened(server)
    await mix(page, "pencil", "neon", fade="0.25")
    await page.fill("#seed", "77")
    await page.fill("#blend", "3")
    await page.select_option("#blend-method", "slerp")
    await page.locator("#strength").fill("0.2")
    await page.locator("#blend").press("Escape")
    kept = await stands(page)
    await page.keyboard.press("Shift+Digit3")
    await page.fill("#prompt", "dusk 3")
    await page.locator("#prompt").press("3")
    await page.locator("#prompt").press("Enter")
    await page.locator("#prompt").blur()
    await page.locator("#strength").fill("0.1")
    await page.fill("#seed", "5")
    await page.locator("#seed").blur()
    assert await page.input_value("#prompt") == "dusk 33"
    other = await stands(page)
    await page.click("#snapshot-5")  # an empty one keeps
    await page.keyboard.press("3")
    assert await stands(page) == kept
    await page.click("#snapshot-5")
    assert await stands(page) == other
    await page.fill("#snapshot-name", "the end")
    await page.locator("#snapshot-name").press("Enter")
    await opened(server)
    assert await page.inner_text("#snapshot-5") == "5\nthe end"
    await page.click("#snapshot-3")
    assert await stands(page) == kept


async def test_a_text_that_is_being_written_stays(server: FakeServer) -> None:
    """where a cue goes to another look meanwhile; all else of the look comes."""
    page = await opened(server)
    await page.fill("#prompt", "dawn")
    await page.press("#prompt", "Enter")
    await page.fill("#seed", "1")
    await page.locator("#seed").blur()
    await page.keyboard.press("Shift+Digit1")
    await page.fill("#seed", "2")
    await page.locator("#prompt").fill("half a")
    await page.evaluate("document.querySelector('#snapshot-1').click()")
    assert (await page.input_value("#prompt"), await page.input_value("#seed")) == ("half a", "1")
    await page.locator("#prompt").blur()
    await page.keyboard.press("1")
    assert await page.input_value("#prompt") == "dawn"


async def test_a_long_press_keeps_and_a_short_one_does_not(server: FakeServer) -> None:
    """nor does a long one go to the look."""
    page = await opened(server)
    await page.fill("#seed", "1")
    await page.click("#snapshot-1")
    await page.fill("#seed", "2")
    await page.fill("#prompt", "night")
    await page.locator("#snapshot-1").hover()
    await page.mouse.down()
    await page.locator("#snapshot-1").get_by_text("night").wait_for()
    await page.mouse.up()
    assert await page.input_value("#seed") == "2"
    await page.fill("#seed", "3")
    await page.locator("#seed").blur()
    await page.click("#snapshot-1")
    assert await page.input_value("#seed") == "2"


async def test_every_change_can_be_undone(server: FakeServer) -> None:
    """of a control, of a snapshot, and of going to one; and done again."""
    page = await opened(server)
    seeds = page.locator("#seed")
    await seeds.fill("1")
    await seeds.blur()
    await page.keyboard.press("Shift+Digit1")
    await seeds.fill("2")
    await seeds.blur()
    await page.keyboard.press("1")
    await page.click("#snapshot-empty")
    before = []
    for _ in range(4):
        before.append((await seeds.input_value(), await page.inner_text("#snapshot-1")))
        await page.keyboard.press("u")
    kept, empty = "1\nno prompt", "1\nempty"
    assert before == [("1", empty), ("1", kept), ("2", kept), ("1", kept)]
    assert await page.inner_text("#snapshot-1") == empty
    for _ in range(4):
        await page.keyboard.press("Control+Shift+Z")
    assert (await seeds.input_value(), await page.inner_text("#snapshot-1")) == ("1", empty)
    assert await page.is_disabled("#redo")


async def test_a_show_is_exported_and_imported(server: FakeServer, tmp_path: Path) -> None:
    """what was exported is taken again as it was; of nonsense nothing is taken, and the page says
    what is wrong, and where."""
    page = await opened(server)
    chosen = page.locator("#show-file")
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(show()))
    wrong = show()
    wrong["snapshots"] += [wrong["snapshots"][0] | {"number": 12}]
    bad.write_text(json.dumps(wrong))
    await chosen.set_input_files(bad)
    alert = page.locator("#show-problem[role=alert]")
    await alert.get_by_text("snapshots[1].number is 12, it must be a number from 1 to 9").wait_for()
    assert await page.inner_text("#snapshot-3") == "3\nempty"
    await chosen.set_input_files(good)
    await page.locator("#show-status").get_by_text("good.json was taken").wait_for()
    assert await page.inner_text("#snapshot-3") == "3\nopening"
    assert await page.is_hidden("#show-problem")
    await page.locator("#cues summary").click()
    assert await page.locator("#cue-rows > *").count() == 1
    async with page.expect_download() as download:
        await page.click("#show-export")
    path = await (await download.value).path()
    assert json.loads(path.read_text()) == show()


async def test_what_cannot_be_read_of_the_browsers_storage_is_kept_aside(
    server: FakeServer,
) -> None:
    """and the page says so; a newer version's, as well as nonsense."""
    page = await opened(server)
    for text in (json.dumps(show() | {"version": 2}), "{"):
        await page.evaluate("(text) => localStorage.setItem('show', text)", text)
        await opened(server)
        await page.get_by_role("alert").get_by_text("cannot be read").wait_for()
        assert await page.evaluate("localStorage.getItem('show-unreadable')") == text
        await page.keyboard.press("Shift+Digit1")
        assert await page.is_hidden("#show-problem")


async def test_a_change_in_another_tab_is_shown(server: FakeServer, browser: Browser) -> None:
    """and is not overwritten by the next one here."""
    context = await browser.new_context()
    await context.route("**/*", server.handle)
    page, other = await context.new_page(), await context.new_page()
    for one in (page, other):
        await one.goto(SECURE)
    await other.keyboard.press("Shift+Digit2")
    await page.locator("#snapshot-2").get_by_text("no prompt").wait_for()
    await page.keyboard.press("Shift+Digit1")
    await other.locator("#snapshot-1").get_by_text("no prompt").wait_for()
    assert await other.inner_text("#snapshot-2") == "2\nno prompt"
    await context.close()


async def test_keys_can_be_turned_off(server: FakeServer) -> None:
    """all but the one that shows the sheet, for good."""
    page = await opened(server)
    await page.keyboard.press("?")
    await page.uncheck("#keys-work")
    await page.keyboard.press("Escape")
    await opened(server)
    await page.keyboard.press("Shift+Digit1")
    assert await page.inner_text("#snapshot-1") == "1\nempty"
    await page.keyboard.press("?")
    await page.check("#keys-work")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Shift+Digit1")
    assert await page.inner_text("#snapshot-1") == "1\nno prompt"


async def test_a_cue_list_is_made_of_what_was_used(server: FakeServer) -> None:
    """and can be changed; without a call it does not run."""
    page = await opened(server)
    await page.keyboard.press("Shift+Digit1")
    await page.keyboard.press("q")
    await page.keyboard.press("Shift+Digit2")
    await page.keyboard.press("q")
    rows = page.locator("#cue-rows > *")
    assert await rows.count() == 2
    await rows.nth(1).locator("[data-part=hold_s]").fill("")
    await rows.nth(1).locator("[data-part=over_s]").fill("1.5")
    await rows.nth(1).locator("[data-part=raise]").click()
    text = await page.evaluate("localStorage.getItem('show')")
    assert json.loads(text)["cueList"]["cues"] == [
        {"snapshot": 2, "over_s": 1.5, "hold_s": None},
        {"snapshot": 1, "over_s": 0, "hold_s": 10},
    ]
    assert await page.is_disabled("#cue-go")
    await rows.nth(0).locator("[data-part=remove]").click()
    assert await rows.count() == 1
