"""The studio page while no new picture comes: it keeps the last one and says why."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import LIVE_MS, Studio, opened_page
from tests.e2e.test_recovery import events_of, readable, record_events

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# the camera is away while `gone` is set
_CAMERA = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.gone = false;
navigator.mediaDevices.getUserMedia = async (wanted) => {
  if (window.gone) throw new DOMException("no camera", "NotFoundError");
  return open(wanted);
};
"""
_LOSE = """() => {
  window.gone = true;
  const [track] = document.querySelector("#input").srcObject.getVideoTracks();
  track.stop();
  track.dispatchEvent(new Event("ended"));
}"""
_SCREEN = """
navigator.mediaDevices.getDisplayMedia = () => (
  navigator.mediaDevices.getUserMedia({ video: true })
);
"""
_END_SHARING = """() => {
  const [track] = document.querySelector("#input").srcObject.getVideoTracks();
  track.stop();
  track.dispatchEvent(new Event("ended"));
}"""
_PLUG_IN = """() => {
  window.gone = false;
  navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
}"""
_SEND = """(what) => {
  const [track] = document.querySelector("#input").srcObject.getVideoTracks();
  track.dispatchEvent(new Event(what));
}"""
# a window that is captured: it gives a picture when something in it changes, and no other
_WINDOW = """
navigator.mediaDevices.getUserMedia = async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [640, 480];
  const context = canvas.getContext("2d");
  const stream = canvas.captureStream(0);
  const [track] = stream.getVideoTracks();
  const change = () => {
    context.fillStyle = "#a08060";
    context.fillRect(0, 0, 640, 480);
    track.requestFrame();
  };
  window.begin = () => { window.changing = setInterval(change, 50); };
  window.begin();
  return stream;
};
"""
_WAKE_LOCK = """
window.locks = 0;
Object.defineProperty(Navigator.prototype, "wakeLock", { get: () => ({
  request: async () => {
    window.locks += 1;
    return { release: async () => { window.locks -= 1; } };
  },
}) });
"""
_RECORD_WISHES = """
window.wishes = [];
const give = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => {
  window.wishes.push(wanted.video.facingMode?.ideal);
  return give(wanted);
};
"""
# neither `play` nor `autoplay` does anything while `isRefused`
_REFUSE = """
window.isRefused = true;
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  if (!window.isRefused) return play.call(this);
  return Promise.reject(new DOMException("a gesture is needed", "NotAllowedError"));
};
new MutationObserver(() => {
  for (const one of document.querySelectorAll("[autoplay]")) one.removeAttribute("autoplay");
}).observe(document, { childList: true, subtree: true, attributes: true });
"""
# the mean brightness of what is seen in the output's place, before the page dims it
_BRIGHTNESS = """() => {
  const kept = document.querySelector("#kept");
  const shown = kept.hidden ? document.querySelector("#output") : kept;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [32, 24];
  const context = canvas.getContext("2d");
  context.drawImage(shown, 0, 0, 32, 24);
  const { data } = context.getImageData(0, 0, 32, 24);
  return data.reduce((sum, one, index) => sum + (index % 4 === 3 ? 0 : one), 0) / (32 * 24 * 3);
}"""
_DOT = "getComputedStyle(document.querySelector('.dot')).backgroundColor"
AMBER = "rgb(240, 179, 94)"


async def until(page: Page, expression: str) -> None:
    """Until a JavaScript expression is true; the page's policy forbids Playwright's own way."""
    for _ in range(600):
        if await page.evaluate(expression):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never {expression}")


async def assert_kept(studio: Studio, reason: str) -> None:
    """The picture is there with the reason over it; no age and no verdict is shown."""
    page = studio.page
    await page.locator("#veil-reason").get_by_text(reason).wait_for(timeout=LIVE_MS)
    await until(page, f"{_DOT} === '{AMBER}'")
    assert await page.evaluate(_BRIGHTNESS) > 40
    assert reason in await studio.status()
    assert await page.is_hidden("#notice")
    assert await page.is_hidden("#badge-age")
    verdicts = await page.locator("#figures .verdict").all_text_contents()
    assert set(verdicts[1:]) == {""}
    assert await page.text_content("[data-part=age-value]") == "\u2013"


async def assert_fresh(studio: Studio) -> None:
    await studio.page.wait_for_selector("body[data-picture=fresh]", timeout=LIVE_MS)
    assert await studio.page.is_hidden("#veil-reason")
    assert readable(await studio.record(count=20)) > 10


async def test_a_pause_dims_the_picture(browser: Browser, server: RunningServer) -> None:
    """until it is resumed."""
    async with opened_page(browser, server.url) as studio:
        await studio.start()
        await studio.page.click("#pause")
        await assert_kept(studio, "Paused")
        await studio.page.click("#pause")
        await assert_fresh(studio)


async def test_a_camera_that_ends_is_taken_again(browser: Browser, server: RunningServer) -> None:
    """the stream is held meanwhile, and goes on with new pictures of the same call."""
    async with opened_page(browser, server.url) as studio:
        await studio.page.add_init_script(_CAMERA)
        await record_events(studio)
        await studio.start()
        await studio.page.evaluate(_LOSE)
        await assert_kept(studio, "The camera is gone")
        await server.until_health(sessions=1, held=0)
        await studio.page.evaluate(_PLUG_IN)
        await assert_fresh(studio)
        streams = {event["stream"] for event in await events_of(studio.page, "state")}
        assert len(streams) == 1


async def test_a_screen_that_is_not_shared_any_more_waits_for_a_choice(
    browser: Browser, server: RunningServer
) -> None:
    """the stream is held, and goes on with the screen shared again, or a camera instead; no camera
    is taken that was not chosen."""
    async with opened_page(browser, server.url) as studio:
        page = studio.page
        await page.add_init_script(_SCREEN)
        await record_events(studio)
        await page.select_option("#camera", "screen")
        await studio.start()
        await until(page, f"({_BRIGHTNESS})() > 40")  # the canvas is black before it is drawn
        camera = await page.get_attribute("#camera option", "value")
        for choice in ("screen", camera):
            await page.evaluate(_END_SHARING)
            await assert_kept(studio, "The screen is not shared any more")
            await server.until_health(sessions=1, held=0)
            await page.select_option("#camera", choice)
            await assert_fresh(studio)
        streams = {event["stream"] for event in await events_of(page, "state")}
        assert len(streams) == 1


async def test_a_server_that_is_stopped_is_a_break(browser: Browser, tmp_path: Path) -> None:
    """as one that crashes: the page starts a new stream with the same prompt by itself, and a
    prompt that was applied meanwhile."""
    async with AsyncExitStack() as stack:
        async with running_server(pipeline="echo", log=tmp_path / "first.log") as first:
            studio = await stack.enter_async_context(opened_page(browser, first.url))
            await record_events(studio)
            await studio.start()
            await studio.prompt("dusk")
            os.kill(first.pid, signal.SIGTERM)
            await assert_kept(studio, "The connection broke off: the server was stopped")
        await studio.page.fill("#seed", "7")
        await studio.page.press("#seed", "Enter")
        await studio.page.locator("#round-trip").get_by_text("Seed kept").wait_for()
        port = int(first.url.rpartition(":")[2])
        async with running_server(pipeline="echo", log=tmp_path / "second.log", port=port):
            await assert_fresh(studio)
            state = (await events_of(studio.page, "state"))[-1]
            assert state["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
            await until(studio.page, "window.events.some((one) => one.parameters?.seed === 7)")


async def test_a_muted_camera_is_named(browser: Browser, server: RunningServer) -> None:
    """a phone that takes a call mutes it; once it gives pictures again all is as before."""
    async with opened_page(browser, server.url) as studio:
        await studio.start()
        await studio.page.evaluate(_SEND, "mute")
        await assert_kept(studio, "The camera gives no pictures just now")
        await studio.page.evaluate(_SEND, "unmute")
        await assert_fresh(studio)


async def test_a_window_in_which_nothing_moves(browser: Browser, server: RunningServer) -> None:
    """its last picture stays with the reason over it, a prompt is still shown on it, and all is as
    before when something moves."""
    async with opened_page(browser, server.url) as studio:
        await studio.page.add_init_script(_WINDOW)
        await studio.page.reload()
        await studio.start()
        await studio.page.evaluate("clearInterval(window.changing)")
        await assert_kept(studio, "No picture of the camera reaches the server for")
        assert "on screen after" in await studio.prompt("dusk")
        await assert_kept(studio, "No picture of the camera reaches the server for")
        await studio.page.evaluate("window.begin()")
        await studio.page.wait_for_selector("body[data-picture=fresh]", timeout=LIVE_MS)
        assert await studio.page.is_hidden("#veil-reason")


async def test_the_screen_stays_on_while_the_call_is_live(
    browser: Browser, server: RunningServer
) -> None:
    """and may turn itself off once it is over."""
    async with opened_page(browser, server.url) as studio:
        await studio.page.add_init_script(_WAKE_LOCK)
        await studio.page.reload()
        await studio.start()
        await until(studio.page, "window.locks === 1")
        await studio.page.click("#stop")
        await until(studio.page, "window.locks === 0")


async def test_a_phone_chooses_by_where_its_cameras_look(
    browser: Browser, server: RunningServer
) -> None:
    """front and back before any camera has a name; the back one is asked for, in the same call."""
    context = await browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}
    )
    studio = Studio(await context.new_page())
    await studio.page.add_init_script(_RECORD_WISHES)
    await studio.page.goto(server.url)
    options = studio.page.locator("#camera option")
    await options.nth(1).wait_for(state="attached")
    names = await options.all_text_contents()
    assert names[:2] == ["Front camera", "Back camera"]
    await studio.start()
    await studio.page.select_option("#camera", label="Back camera")
    await until(studio.page, "window.wishes.length === 2")
    await assert_fresh(studio)
    assert await studio.page.evaluate("window.wishes") == ["user", "environment"]
    await studio.stop()
    await context.close()


async def test_the_clean_view_asks_for_a_tap_where_it_may_not_play(
    browser: Browser, server: RunningServer
) -> None:
    """it plays after one, and says nothing where it may; a stream that ends leaves its picture."""
    async with (
        opened_page(browser, server.url) as studio,
        opened_page(browser, "about:blank") as view,
    ):
        await studio.start()
        await view.page.add_init_script(_REFUSE)
        await view.page.goto(f"{server.url}/view")
        await view.page.get_by_role("button", name="Tap to play").wait_for()
        await view.page.evaluate("window.isRefused = false")
        await view.page.mouse.click(20, 20)
        await view.page.locator("#tap").wait_for(state="hidden")
        await view.until("live")
        assert readable(await view.record(count=20)) > 10
        await studio.page.click("#stop")
        await view.until("connecting")
        assert await view.page.evaluate(_BRIGHTNESS) > 40
        assert await view.page.inner_text("body") == ""
