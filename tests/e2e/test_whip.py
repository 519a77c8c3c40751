"""WHIP and WHEP in a real browser: published from a page, played by the clean view."""

from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.async_api import Browser
from slipstream_server.probe.marker import read_marker

from tests.e2e.clips import NUMBERED_COUNT
from tests.e2e.pictures import Pictures
from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import LIVE_MS, Studio, opened_page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# A minimal publisher, as any page might have one; returns its Location.
PUBLISH = """
async (url) => {
  const pc = new RTCPeerConnection();
  const camera = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
  pc.addTransceiver("audio", { direction: "sendonly" });
  pc.addTransceiver(camera.getVideoTracks()[0], { direction: "sendonly" });
  await pc.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const body = pc.localDescription.sdp;
  const response = await fetch(url, { method: "POST", headers, body });
  const sdp = await response.text();
  if (response.status !== 201) throw new Error(`${response.status}: ${sdp}`);
  await pc.setRemoteDescription({ type: "answer", sdp });
  window.publisher = pc;
  return response.headers.get("Location");
}
"""


def assert_in_order(pictures: Pictures) -> None:
    """They can be read, and none goes back (the clip is a loop)."""
    numbers = [number for luma in pictures.luma if (number := read_marker(luma)) is not None]
    assert len(numbers) > 0.8 * len(pictures.rgb) > 10
    steps = [(after - before) % NUMBERED_COUNT for before, after in pairwise(numbers)]
    assert max(steps) < NUMBERED_COUNT / 2, f"a picture came after a later one: {numbers}"


async def test_a_page_publishes_and_the_clean_view_plays_it(
    browser: Browser, server: RunningServer
) -> None:
    """By the stream's name in both addresses; the view uses nothing but WHEP."""
    async with opened_page(browser, server.url) as studio:
        address = await studio.page.input_value("#whip-url")
        assert address == f"{server.url}/whip/obs"
        location = await studio.page.evaluate(PUBLISH, address)
        assert location.startswith("/whip/obs/")
        async with opened_page(browser, "about:blank") as view:
            requested: list[str] = []
            view.page.on("request", lambda request: requested.append(request.url))
            shown = await studio.page.locator("#sent-view").get_attribute("href")
            await view.page.goto(f"{shown}?status=1")
            await view.until("live")
            assert_in_order(await view.record(count=50))
            assert await view.page.is_hidden("#unmute"), "it has no sound"
            posted = [url for url in requested if "/whep/obs" in url]
            assert posted
            assert not [url for url in requested if "/webrtc/offer" in url]
            deleted = await studio.page.evaluate(
                "async (path) => (await fetch(path, { method: 'DELETE' })).status", location
            )
            assert deleted == 200
            await until_waiting(view)


async def test_the_clean_view_survives_a_restart_of_the_server(
    browser: Browser, tmp_path: Path
) -> None:
    """Opened before there is a stream, and left open while the server restarts."""
    async with AsyncExitStack() as pages:
        async with running_server(pipeline="echo", log=tmp_path / "first.log") as server:
            url, port = server.url, int(server.url.rpartition(":")[2])
            view = await pages.enter_async_context(
                opened_page(browser, f"{url}/view/stage?status=1")
            )
            await until_waiting(view)
            async with opened_page(browser, url) as publisher:
                await publisher.page.evaluate(PUBLISH, f"{url}/whip/stage")
                await view.until("live")
        await until_waiting(view)
        async with (
            running_server(pipeline="echo", log=tmp_path / "second.log", port=port),
            opened_page(browser, url) as publisher,
        ):
            await publisher.page.evaluate(PUBLISH, f"{url}/whip/stage")
            await view.until("live")
            assert_in_order(await view.record(count=20))


async def until_waiting(view: Studio) -> None:
    await view.page.get_by_text("nothing live, waiting").wait_for(timeout=LIVE_MS)
