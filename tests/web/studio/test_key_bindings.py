"""`studio/key_bindings.js`: what a key means, and the sheet that is made of the same table."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_FIND = """async (presses) => {
  const { actionOf } = await import("/studio/key_bindings.js");
  const usual = {
    code: "", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, repeat: false,
    isComposing: false,
  };
  return presses.map(([press, focus]) => {
    const action = actionOf({ ...usual, ...press }, focus);
    return action && `${action.does} ${action.on}`;
  });
}"""
_TABLE = """async () => {
  const { helpSheet, KEY_BINDINGS, keysOf } = await import("/studio/key_bindings.js");
  const sheet = [...helpSheet()].flatMap(([, rows]) => (
    rows.flatMap(({ what, keys }) => keys.map((names) => [names.join("+"), what]))
  ));
  return [KEY_BINDINGS, KEY_BINDINGS.map((one) => keysOf(one).join("+")), sheet];
}"""


async def found(server: FakeServer, *presses: tuple[dict[str, Any], str]) -> list[str | None]:
    actions: list[str | None] = await server.evaluate(_FIND, presses)
    return actions


async def test_digits_are_found_by_their_place(server: FakeServer) -> None:
    """whatever a layout writes on them, with shift and without, and on the number pad."""
    assert await found(
        server,
        ({"key": "3", "code": "Digit3"}, "page"),
        ({"key": "é", "code": "Digit2"}, "slider"),
        ({"key": "#", "code": "Digit3", "shiftKey": True}, "button"),
        ({"key": "9", "code": "Numpad9"}, "page"),
        ({"key": "0", "code": "Digit0"}, "page"),
    ) == ["press snapshot-3", "press snapshot-2", "hold snapshot-3", "press snapshot-9", None]


@pytest.mark.parametrize("focus", ["text", "list"])
async def test_no_key_means_anything_while_a_field_has_the_focus(
    server: FakeServer, focus: str
) -> None:
    """of the whole table, with whatever else is pressed."""
    table, *_ = await server.evaluate(_TABLE)
    presses = [
        ({"key": one["key"], "code": "Digit1", "shiftKey": shift, "ctrlKey": control}, focus)
        for one in table
        for shift in (False, True)
        for control in (False, True)
    ]
    assert set(await found(server, *presses)) == {None}


async def test_keys_that_belong_to_the_browser_are_left_to_it(server: FakeServer) -> None:
    """those with Ctrl, Alt or a Mac's command key that are not in the table, those that compose a
    letter, and space and Enter on a button; a key held down presses once and moves on."""
    assert (
        await found(
            server,
            ({"key": "s", "ctrlKey": True}, "page"),
            ({"key": "1", "code": "Digit1", "metaKey": True}, "page"),
            ({"key": "1", "code": "Digit1", "altKey": True}, "page"),
            ({"key": "s", "isComposing": True}, "page"),
            ({"key": " "}, "button"),
            ({"key": "Enter"}, "button"),
            ({"key": "d", "repeat": True}, "page"),
        )
        == [None] * 7
    )
    assert await found(
        server,
        ({"key": " "}, "page"),
        ({"key": "Enter"}, "page"),
        ({"key": "+", "repeat": True, "shiftKey": True}, "slider"),
        ({"key": "S", "shiftKey": True}, "page"),
        ({"key": "s"}, "page"),
        ({"key": "Z", "shiftKey": True, "metaKey": True}, "page"),
        ({"key": "z", "ctrlKey": True}, "page"),
    ) == [
        "press cue-go",
        "focus prompt",
        "move strength",
        "press stop",
        "press start",
        "press redo",
        "press undo",
    ]


async def test_every_binding_is_on_the_sheet_and_has_its_element(server: FakeServer) -> None:
    """no key means two things, and the page's sheet lists all of them."""
    table, keys, sheet = await server.evaluate(_TABLE)
    assert len(set(keys)) == len(keys)
    rows = {tuple(row) for row in sheet}
    assert rows == set(zip(keys, (one["what"] for one in table), strict=True))
    page = server.page
    await page.goto(SECURE)
    for binding in table:
        element = binding["on"].replace("#", "1")
        assert await page.locator(f"#{element}").count() == 1, element
    await page.keyboard.press("?")
    text = await page.inner_text("#sheet-keys")
    for binding in table:
        assert binding["what"] in text


async def test_each_button_of_the_page_has_a_key_or_is_on_the_way_of_tab(
    server: FakeServer,
) -> None:
    """none is taken out of it."""
    await server.page.goto(SECURE)
    assert await server.page.locator("[tabindex='-1']").count() == 0
