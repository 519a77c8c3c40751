"""Controls of a MIDI device learned on the page: `surfaces/midi_panel.js`, `surfaces/controls.js`.

The device is a virtual one, put in the place of the browser's Web MIDI before the page is loaded.
"""

from typing import Any

import pytest
from playwright.async_api import Page

from tests.web.conftest import SECURE, FakeServer
from tests.web.studio.test_controls import health
from tests.web.surfaces.virtual_midi import VIRTUAL_DEVICE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

KNOB_7, PAD_36 = (0xB0, 7), (0x91, 36)
STATUS, PROBLEM = "#midi [role=status]", "#midi [role=alert]"


async def opened(server: FakeServer, *, before: str = VIRTUAL_DEVICE) -> Page:
    server.respond("/health", 200, health(["pencil", "neon"], []))
    await server.page.add_init_script(f"({before})()")
    await server.page.goto(SECURE)
    await server.page.get_by_role("button", name="pencil", exact=True).wait_for()
    await server.page.evaluate("document.querySelector('#midi').open = true")
    await server.page.locator("#midi-learn").wait_for()
    return server.page


async def play(page: Page, *data: int) -> None:
    await page.evaluate("(bytes) => window.play(...bytes)", list(data))


async def learn(page: Page, source: tuple[int, int], control: str) -> None:
    await page.click("#midi-learn:enabled")
    await play(page, *source, 100)
    await page.click(control)


async def text(page: Page, selector: str, expected: str) -> None:
    await page.locator(selector).filter(has_text=expected).wait_for()


async def test_a_slider_is_learned_and_moved(server: FakeServer) -> None:
    """by touching the device's control, then the page's, which stays where it is; then one moves
    the other over its whole range. It is kept in the browser."""
    page = await opened(server)
    before = await page.input_value("#strength")
    await page.click("#midi-learn:enabled")
    await text(page, STATUS, "Move a control of the device")
    await play(page, *KNOB_7, 20)
    await text(page, STATUS, "Deck: Control 7 on channel 1: now click the control")
    await page.click("#strength")
    await text(page, STATUS, "Deck: Control 7 on channel 1 moves Strength")
    assert await page.input_value("#strength") == before
    limits = await page.evaluate(
        "[document.querySelector('#strength').min, document.querySelector('#strength').max]"
    )
    for value, limit in ((0, limits[0]), (127, limits[1])):
        await play(page, *KNOB_7, value)
        await page.wait_for_function(
            "(value) => document.querySelector('#strength').value === value", arg=limit
        )
    await play(page, *PAD_36, 127)  # nobody has learned it
    await play(page, 0xF8)  # a clock's tick
    await page.reload()
    await page.get_by_role("button", name="pencil", exact=True).wait_for()
    await page.locator("#midi li").wait_for(state="attached")
    await page.wait_for_function("window.play && document.querySelector('#midi-learn:enabled')")
    await play(page, *KNOB_7, 0)
    await page.wait_for_function(
        "(value) => document.querySelector('#strength').value === value", arg=limits[0]
    )


async def test_a_snapshot_and_a_weight_are_learned(server: FakeServer) -> None:
    """a pad calls the snapshot, once for each press; it may learn another, and be forgotten."""
    page = await opened(server)
    await page.fill("#prompt", "pencil")
    await page.click("#snapshot-1", modifiers=["Shift"])
    await page.fill("#prompt", "neon")
    await page.click("#snapshot-2", modifiers=["Shift"])
    await learn(page, PAD_36, "#snapshot-1")
    assert await page.evaluate("document.activeElement === document.body")  # no key is taken
    assert await page.input_value("#prompt") == "neon"
    await play(page, *PAD_36, 3)  # however softly
    await page.wait_for_function("document.querySelector('#prompt').value === 'pencil'")
    await page.click("#snapshot-2")
    await play(page, *PAD_36, 90)  # it is still down
    assert await page.input_value("#prompt") == "neon"
    await play(page, 0x81, 36, 0)
    await play(page, *PAD_36, 90)
    await page.wait_for_function("document.querySelector('#prompt').value === 'pencil'")
    await page.click("#add-prompt")
    await learn(page, PAD_36, "#weight-2")
    assert await page.locator("#midi li").count() == 1
    await play(page, *PAD_36, 0)
    await page.wait_for_function("document.querySelector('#weight-2').value === '0'")
    await page.get_by_role("button", name="Forget Deck: Note 36 on channel 2").click()
    assert await page.locator("#midi li").count() == 0


async def test_a_device_that_is_pulled_out_is_said(server: FakeServer) -> None:
    """and works again as before once it is back."""
    page = await opened(server)
    await learn(page, KNOB_7, "#strength")
    await page.evaluate("window.plug(false)")
    await text(page, PROBLEM, "Deck was pulled out. The call goes on")
    await text(page, STATUS, "No device is plugged in")
    await page.evaluate("window.plug(true)")
    await text(page, STATUS, "Devices: Deck")
    assert await page.locator(PROBLEM).is_hidden()
    await play(page, *KNOB_7, 127)
    await page.wait_for_function(
        "document.querySelector('#strength').value === document.querySelector('#strength').max"
    )


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("() => { delete Navigator.prototype.requestMIDIAccess; }", "has no Web MIDI"),
        (f"() => {{ window.refused = true; ({VIRTUAL_DEVICE})(); }}", "lets this page use no MIDI"),
    ],
)
async def test_without_devices_the_reason_is_said(
    server: FakeServer, before: str, said: str
) -> None:
    page = await opened(server, before=before)
    await text(page, PROBLEM, said)
    assert await page.locator("#midi-learn").is_disabled()


_PARSED = """async (text) => {
  const { parseBindings } = await import("/surfaces/midi_messages.js");
  return parseBindings(text);
}"""


@pytest.mark.parametrize("kept", ["", "{}", "[1]", '[{"source": {}, "control": "x"}]', "[[[["])
async def test_nonsense_is_put_aside(server: FakeServer, kept: str) -> None:
    """and said; the page goes on."""
    assert await server.evaluate(_PARSED, kept) is None


_READ = """async (bytes) => {
  const { readMessage } = await import("/surfaces/midi_messages.js");
  return readMessage("Deck", bytes);
}"""


@pytest.mark.parametrize(
    ("data", "kind", "channel", "number", "value"),
    [
        ([0xB0, 7, 127], "knob", 1, 7, 1),
        ([0xBF, 0, 0], "knob", 16, 0, 0),
        ([0x90, 60, 127], "pad", 1, 60, 1),
        ([0x80, 60, 64], "pad", 1, 60, 0),
        ([0xE2, 127, 127], "bend", 3, 0, 1),
    ],
)
async def test_messages_are_read(
    server: FakeServer, data: list[int], kind: str, channel: int, number: int, value: float
) -> None:
    found: dict[str, Any] = await server.evaluate(_READ, data)
    source = {"device": "Deck", "kind": kind, "channel": channel, "number": number}
    assert found == {"source": source, "value": value}


async def test_other_messages_are_left_out(server: FakeServer) -> None:
    for data in ([0xF8], [0xFE], [], [0xC0, 4], [12, 3]):
        assert await server.evaluate(_READ, data) is None
