"""The studio and the clean view in Firefox: all that a user does there."""

from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest

from tests.e2e.firefox import HOW_TO_GET_ONE, FirefoxPage, find_firefox, opened_firefox
from tests.e2e.server import RunningServer, running_server

pytestmark = pytest.mark.browser

# the mean brightness of what the output shows
_BRIGHTNESS = """(() => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [32, 24];
  const context = canvas.getContext("2d");
  context.drawImage(document.querySelector("#output"), 0, 0, 32, 24);
  const { data } = context.getImageData(0, 0, 32, 24);
  return data.reduce((sum, one, index) => sum + (index % 4 === 3 ? 0 : one), 0) / (32 * 24 * 3);
})()"""
_NEXT_PICTURES = """new Promise((done) => {
  const video = document.querySelector("#output");
  let left = 10;
  const take = () => (left-- ? video.requestVideoFrameCallback(take) : done(true));
  take();
})"""


@pytest.fixture(scope="session")
def firefox() -> Path:
    """Where Firefox is; without one the tests that need it are skipped, and say so."""
    found = find_firefox()
    if found is None:
        pytest.skip(HOW_TO_GET_ONE)
    return found


async def assert_moving(page: FirefoxPage) -> None:
    """New pictures come, and they are no black ones."""
    await page.until(f"await {_NEXT_PICTURES}")
    await page.until(f"{_BRIGHTNESS} > 20")


async def streams_of(server: RunningServer) -> set[str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{server.url}/api/v1/streams") as response,
    ):
        return {one["stream"] for one in (await response.json())["streams"]}


async def test_firefox_does_all_of_it(firefox: Path, tmp_path: Path) -> None:
    """start, picture, prompt, pause, reload, stop, the clean view; in VP8, as it may have no H.264
    without a plugin."""
    profile = tmp_path / "profile"
    profile.mkdir()
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log") as server,
        opened_firefox(firefox, profile) as page,
    ):
        await page.open(server.url)
        await page.click("#start")
        await page.until("document.body.dataset.picture === 'fresh'")
        await assert_moving(page)

        await page.click("#prompt")
        await page.type("dusk\ue007")  # Enter
        await page.until("document.querySelector('#round-trip').dataset.stage === 'shown'")

        await page.click("#pause")
        await page.until("document.querySelector('#veil-reason').innerText.includes('Paused')")
        await page.click("#pause")
        await page.until("document.body.dataset.picture === 'fresh'")
        await assert_moving(page)

        before = await streams_of(server)
        await page.open(server.url)  # a reload: the page comes back to its stream
        await page.until("document.body.dataset.picture === 'fresh'")
        await assert_moving(page)
        assert await streams_of(server) == before

        (stream,) = before
        viewer = await page.new_tab()
        await viewer.open(f"{server.url}/view/{stream}")
        await viewer.until("document.body.dataset.state === 'live'")
        await assert_moving(viewer)
        assert await viewer.evaluate("document.body.innerText") == ""

        await page.click("#stop")
        await page.until("document.body.dataset.state === 'idle'")
        assert await streams_of(server) == set()


_STATUS = "document.querySelector('#record-status').textContent"
_CHOOSE_MICROPHONE = """(() => {
  const list = document.querySelector("#sound");
  list.selectedIndex = 1;
  list.dispatchEvent(new Event("change", { bubbles: true }));
})()"""


async def test_firefox_is_heard_and_recorded(firefox: Path, tmp_path: Path) -> None:
    """its microphone comes back beside the picture, and both are in the recording."""
    folder, profile = tmp_path / "recordings", tmp_path / "profile"
    profile.mkdir()
    async with (
        running_server(
            pipeline="echo",
            log=tmp_path / "server.log",
            more=("--record-dir", str(folder), "--record-free-mib", "0"),
        ) as server,
        opened_firefox(firefox, profile) as page,
    ):
        await page.open(server.url)
        await page.evaluate(_CHOOSE_MICROPHONE)
        await page.click("#start")
        await page.until("document.body.dataset.picture === 'fresh'")
        await page.until("document.querySelector('[data-part=skew]').textContent.includes('ms')")
        await page.until("!document.querySelector('#record').hidden")
        await page.click("#record")
        await page.until(f"{_STATUS} === 'Recording…'")
        for _ in range(3):
            await page.until(f"await {_NEXT_PICTURES}")
        await page.click("#stop")
        await page.until("document.body.dataset.state === 'idle'")
        await page.until("document.querySelector('#record').ariaPressed === 'false'")
        await page.until(f"{_STATUS} === ''")
    pictures, loudest = 0, 0.0
    with av.open(str(next(folder.glob("*/*.mp4")))) as film:
        for frame in film.decode():
            if isinstance(frame, av.AudioFrame):
                loudest = max(loudest, float(np.abs(frame.to_ndarray()).max()))
            else:
                pictures += 1
    assert pictures > 20 and loudest > 0.01
