"""`streams/dock.js`: one stream steered without a camera."""

import asyncio
import json

import pytest
from playwright.async_api import Route

from tests.web.accessibility import findings
from tests.web.conftest import PREFIX, SECURE, FakeServer
from tests.web.streams.served import FakeStreams, entry

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PAGE = f"{SECURE}/dock.html?stream=obs"


async def opened(server: FakeServer, address: str = PAGE) -> FakeStreams:
    """The dock of `obs`, with what is in force on it."""
    streams = FakeStreams(server)
    await streams.answer()
    streams.show(entry("obs"))
    await server.page.goto(address)
    await server.page.wait_for_selector("fieldset:enabled")
    return streams


async def test_what_is_in_force_is_shown_and_changed(server: FakeServer) -> None:
    """each control sends what it is about, and nothing else."""
    streams = await opened(server)
    page = server.page
    prompt = page.get_by_role("textbox", name="Prompt")
    assert await prompt.input_value() == "pencil"
    pressed = page.get_by_role("button", pressed=True)
    assert await pressed.all_inner_texts() == ["pencil"]
    assert await page.locator("output").inner_text() == "50 %"
    await page.get_by_role("button", name="red").click()
    await prompt.fill("a garden")
    await prompt.press("Enter")
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_text("In force", exact=True).wait_for()
    merged = {key: value for _, update in streams.updates for key, value in update.items()}
    assert merged == {"prompt": "a garden", "paused": True}
    assert streams.updates[0][1]["prompt"] in ("red pencil", "a garden")
    assert await pressed.all_inner_texts() == ["Pause"]


async def test_a_named_stream_needs_no_list(server: FakeServer) -> None:
    """which a token for one stream does not open; a proxy's path is before all requests."""
    asked: list[str] = []
    server.page.on("request", lambda request: asked.append(request.url))
    await opened(server, f"{SECURE}{PREFIX}/dock.html?stream=obs#access=slip1.control.obs")
    assert not [url for url in asked if url.endswith("/streams")]
    assert all(url.startswith(f"{SECURE}{PREFIX}/") for url in asked)


async def test_a_slider_sends_no_more_than_is_answered(server: FakeServer) -> None:
    """while one update is on its way the newest value waits, and is sent at last."""
    await opened(server)
    page = server.page
    may_answer = asyncio.Event()
    bodies: list[float] = []

    async def slow(route: Route) -> None:
        if route.request.method != "PATCH":
            await route.fallback()
            return
        bodies.append(json.loads(route.request.post_data or "")["noise_scale"])
        await may_answer.wait()
        await route.fulfill(body='{"type": "applied", "rev": 0, "chunk": 1}')

    await page.route("**/parameters", slow)
    strength = page.get_by_role("slider")
    async with page.expect_request(lambda request: request.method == "PATCH"):
        await strength.fill("0.3")
    for value in ("0.24", "0.12", "0.06"):
        await strength.fill(value)
    may_answer.set()
    await page.get_by_text("In force", exact=True).wait_for()
    await page.wait_for_function("document.querySelector('output').textContent === '20 %'")
    assert (bodies[0], bodies[-1]) == (0.3, 0.06)
    assert len(bodies) <= 2


async def test_a_refusal_is_told(server: FakeServer) -> None:
    streams = await opened(server)
    streams.refusal = (403, "the token is for role view; this needs role control")
    await server.page.get_by_role("button", name="neon").click()
    alert = server.page.get_by_role("alert").filter(has_text="this needs role control")
    await alert.wait_for()


async def test_a_stream_that_is_away_is_waited_for(server: FakeServer) -> None:
    """its controls are of no use meanwhile, and work again once it is there."""
    streams = FakeStreams(server)
    await streams.answer()
    page = server.page
    await page.goto(PAGE)
    await page.get_by_role("alert").filter(has_text="There is no stream obs now").wait_for()
    assert await page.get_by_role("textbox", name="Prompt").is_disabled()
    streams.show(entry("obs"))
    await streams.look_again()
    await page.wait_for_selector("fieldset:enabled")
    assert await page.get_by_role("textbox", name="Prompt").input_value() == "pencil"
    assert await page.get_by_role("alert").count() == 0


async def test_what_is_being_written_is_left_alone(server: FakeServer) -> None:
    """what others set is shown everywhere else, a mixture by its heaviest prompt and in words."""
    streams = await opened(server)
    page = server.page
    prompt = page.get_by_role("textbox", name="Prompt")
    streams.parameters["obs"] |= {
        "prompts": [{"text": "dawn", "weight": 0.3}, {"text": "dusk", "weight": 0.7}],
        "noise_scale": 0.3,
    }
    await streams.look_again()
    await page.get_by_text("A mixture is in force: dawn (0.3), dusk (0.7).").wait_for()
    assert await prompt.input_value() == "dusk"
    await prompt.fill("half a se")
    streams.parameters["obs"] |= {"prompts": [{"text": "night", "weight": 1.0}], "noise_scale": 0.0}
    await streams.look_again()
    await page.wait_for_function("document.querySelector('output').textContent === '0 %'")
    assert await prompt.input_value() == "half a se"


async def test_without_a_name_the_newest_is_steered(server: FakeServer) -> None:
    """until another is chosen, or it has ended."""
    streams = FakeStreams(server)
    await streams.answer()
    page = server.page
    await page.goto(f"{SECURE}/dock.html")
    await page.get_by_role("status").filter(has_text="Nothing is live now").wait_for()
    streams.show(entry("first"), entry("second"))
    await streams.look_again()
    await page.get_by_role("heading", name="Steer second").wait_for()
    await page.locator("#stream").select_option("first")
    await page.get_by_role("heading", name="Steer first").wait_for()
    streams.show(entry("second"))
    await streams.look_again()
    await page.get_by_role("heading", name="Steer second").wait_for()
    assert await page.locator("#stream").is_hidden()


async def test_a_link_for_one_stream_changes_nothing_for_the_studio(server: FakeServer) -> None:
    """it is this tab's."""
    shown = "async () => (await import('/shared/access.js')).authorization().Authorization"
    await server.page.goto(f"{SECURE}/#access=studio")
    await opened(server, f"{PAGE}#access=dock")
    assert await server.page.evaluate(shown) == "Bearer dock"
    await server.page.goto(SECURE)
    assert await server.page.evaluate(shown) == "Bearer studio"


@pytest.mark.parametrize("width", [600, 240])
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_nobody_is_kept_out(server: FakeServer, scheme: str, width: int) -> None:
    """with controls that work, and with some that do not; also as narrow as a dock."""
    page = server.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    await page.set_viewport_size({"width": width, "height": 700})
    streams = await opened(server)
    found = {"live": await findings(page)}
    streams.show()
    await streams.look_again()
    await page.wait_for_selector("fieldset:disabled")
    found["away"] = await findings(page)
    assert found == {"live": [], "away": []}
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(overflow) <= 0
