"""Calls in a real browser with an engine that changes nothing: order, ends, refusals."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser
from slipstream_server.probe.marker import read_marker

from tests.e2e import pictures
from tests.e2e.clips import NUMBERED_COUNT
from tests.e2e.pictures import Pictures
from tests.e2e.server import RunningServer, running_server
from tests.e2e.studio import opened_page, opened_studio
from tests.e2e.test_page_states import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# red on the left, blue on the right, and between them what brightens and darkens
_TURNING_CAMERA = """() => {
  navigator.mediaDevices.getUserMedia = async () => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    let number = 0;
    const draw = () => {
      const { width, height } = canvas;
      number += 1;
      const third = width / 3;
      const level = (number * 16) % 256;
      ["#ff0000", `rgb(${level}, ${level}, ${level})`, "#0000ff"].forEach((colour, index) => {
        context.fillStyle = colour;
        context.fillRect(index * third, 0, third + 1, height);
      });
    };
    window.turn = (width, height) => {
      [canvas.width, canvas.height] = [width, height]; // which empties it
      draw();
    };
    window.turn(1280, 720);
    setInterval(draw, 50);
    return canvas.captureStream(20);
  };
}"""
_SIZE = "((video) => `${video.videoWidth}x${video.videoHeight}`)(document.querySelector('#output'))"


def numbers_of(pictures: Pictures) -> list[int]:
    """The numbers that can be read in the pictures."""
    return [number for luma in pictures.luma if (number := read_marker(luma)) is not None]


def assert_in_order(pictures: Pictures) -> None:
    """Nearly all can be read, none goes back, and they advance (the clip is a loop)."""
    numbers = numbers_of(pictures)
    assert len(numbers) > 0.9 * len(pictures.rgb) > 10
    steps = [(after - before) % NUMBERED_COUNT for before, after in pairwise(numbers)]
    assert max(steps) < NUMBERED_COUNT / 2, f"a picture came after a later one: {numbers}"
    assert len(set(numbers)) > len(numbers) / 2, f"the picture hardly moves: {numbers}"


async def test_frames_keep_their_order(browser: Browser, server: RunningServer) -> None:
    """Pictures are on the screen in the order of the camera."""
    async with opened_page(browser, server.url) as studio:
        await studio.start()
        assert_in_order(await studio.record(count=100))


async def test_an_echo_is_the_camera_itself(
    server: RunningServer, chromium: Path, camera_clip: Path
) -> None:
    """The measures that tell a restyled picture do not take an echo for one."""
    async with opened_studio(chromium, server.url, camera=camera_clip) as studio:
        await studio.start()
        camera, output = await studio.record_both(count=100)
        assert pictures.distance(output, camera) < pictures.RESTYLED_LEVELS / 2
        assert not pictures.differs_in_style(output, camera)
        alignment = pictures.align(output, camera)
        assert alignment.correlation > alignment.baseline + 0.1, alignment


async def test_pictures_turn_with_the_camera(browser: Browser, server: RunningServer) -> None:
    """A wide camera gets wide pictures; once it is turned, upright ones: on the same call, whole
    from edge to edge, and moving."""
    async with opened_page(browser, server.url) as studio:
        page = studio.page
        await page.evaluate(_TURNING_CAMERA)
        await studio.start()
        for camera_px, width_px, height_px in (([1280, 720], 736, 416), ([480, 640], 480, 640)):
            await page.evaluate("(px) => window.turn(...px)", camera_px)
            await until(page, f"{_SIZE} === '{width_px}x{height_px}'")
            shown = (await studio.record(count=12)).rgb.astype(int)
            left, right = shown[:, 20:-20, :10], shown[:, 20:-20, -10:]
            assert np.all((left[..., 0] - left[..., 2]).mean((1, 2)) > 100), "red on the left"
            assert np.all((right[..., 2] - right[..., 0]).mean((1, 2)) > 100), "blue on the right"
            assert np.ptp(shown[:, :, 80:-80].mean((1, 2, 3))) > 20, "the middle changes"
            assert await page.inner_text("#status-title") == "Live"
        assert (await server.health())["sessions"] == 1


async def test_a_call_can_be_made_again(browser: Browser, tmp_path: Path) -> None:
    """Stop releases the camera and the stream: a server for one takes the next call."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log", max_streams=1) as server,
        opened_page(browser, server.url) as studio,
    ):
        for _ in range(2):
            await studio.start()
            await studio.page.click("#stop")
            await studio.until("idle")
            assert (
                await studio.page.locator("#input").evaluate("(video) => video.srcObject") is None
            )
        await studio.start()
        assert_in_order(await studio.record(count=20))


async def test_a_pause_keeps_the_picture(browser: Browser, server: RunningServer) -> None:
    """Pause keeps the last picture in sight and is shown; Resume goes on in order."""
    async with opened_page(browser, server.url) as studio:
        await studio.start()
        await studio.page.click("#pause")
        await studio.page.locator("#status-title").get_by_text("Paused").wait_for()
        assert await studio.page.is_hidden("#notice")
        await studio.page.get_by_role("button", name="Resume").click()
        await studio.page.locator("#status-title").get_by_text("Live").wait_for()
        assert_in_order(await studio.record(count=20))


async def test_a_caller_waits_for_a_place(browser: Browser, tmp_path: Path) -> None:
    """The second caller of a server for one reads why it waits, and comes in once the first ends,
    who has gone on undisturbed."""
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log", max_streams=1) as server,
        opened_page(browser, server.url) as first,
        opened_page(browser, server.url) as second,
    ):
        await first.start()
        await second.page.click("#start")
        await second.page.get_by_text("Waiting for a place: you are number 1 of 1").wait_for()
        assert "--max-streams" in await second.page.inner_text("#notice-advice")
        await first.page.get_by_text("Live; somebody waits for a place").wait_for()
        assert_in_order(await first.record(count=20))
        await first.page.click("#stop")
        await second.until("live")
        assert_in_order(await second.record(count=20))


async def test_a_test_picture_takes_a_cameras_place(
    browser: Browser, server: RunningServer
) -> None:
    """for a call of its own size; another size is sent on the same call."""
    async with opened_page(browser, server.url) as studio:
        page = studio.page
        await page.select_option("#camera", "test")
        await page.select_option("#camera-size", "1280 720")
        await studio.start()
        await until(page, f"{_SIZE} === '736x416'")
        shown = (await studio.record(count=12)).rgb.astype(int)
        yellow = shown[:, 40:120, 60:70].mean((0, 1, 2))
        assert yellow[0] > 200 and yellow[1] > 200 and yellow[2] < 80, yellow
        assert np.ptp(shown[:, -50:].mean((1, 3)), axis=0).max() > 20, "the block moves"
        await page.select_option("#camera-size", "640 480")
        await until(page, f"{_SIZE} === '640x480'")
        assert (await server.health())["sessions"] == 1


async def test_a_missing_camera_is_reported(server: RunningServer, chromium: Path) -> None:
    """Without a camera the page says what to do; no session is made."""
    async with opened_studio(chromium, server.url, camera=None) as studio:
        await studio.page.click("#start")
        await studio.until("error")
        assert (await studio.status()).startswith("No camera was found.")
        assert (await server.health())["sessions"] == 0


async def test_the_clean_view_shows_a_stream(browser: Browser, server: RunningServer) -> None:
    """The address for OBS shows the stream's pictures in order, and nothing else."""
    async with opened_page(browser, server.url) as studio:
        await studio.start()
        address = await studio.page.input_value("#view-url")
        assert address.startswith(f"{server.url}/view/")
        async with opened_page(browser, address) as view:
            await view.until("live")
            assert_in_order(await view.record(count=50))
            assert await view.page.is_hidden("#status")


async def test_the_clean_view_reconnects(browser: Browser, server: RunningServer) -> None:
    """Opened before anything is live, and again after a stream has ended, it finds the next one."""
    async with (
        opened_page(browser, server.url) as studio,
        opened_page(browser, f"{server.url}/view?status=1") as view,
    ):
        await view.page.get_by_text("nothing live, waiting").wait_for()
        for _ in range(2):
            await studio.start()
            await view.until("live")
            await studio.page.click("#stop")
            await view.page.get_by_text("nothing live, waiting").wait_for()
