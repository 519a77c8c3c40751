"""The studio page in a test's hands: press, read, and look at the pixels."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Browser, Page

from tests.e2e.browser import running_chromium
from tests.e2e.looks import Pictures

LIVE_MS = 30_000

# Draws every picture that the element presents onto a small canvas; the last ones are kept.
_RECORD = """
(video, [seconds, width, height]) => new Promise((done) => {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pictures = [];
  const began = performance.now();
  const take = (now, { rtpTimestamp, presentedFrames }) => {
    context.drawImage(video, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = new Uint8Array(3 * width * height);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      rgb[to++] = data[from];
      rgb[to++] = data[from + 1];
      rgb[to++] = data[from + 2];
    }
    pictures.push({ at_ms: now, rgb: rgb.toBase64?.() ?? btoa(
      Array.from(rgb, (value) => String.fromCharCode(value)).join("")) });
    if (now - began < 1000 * seconds) video.requestVideoFrameCallback(take);
    else done(pictures);
  };
  video.requestVideoFrameCallback(take);
  setTimeout(() => done(pictures), 1000 * seconds + 3000);
})
"""


class Studio:
    """The page, opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.failures: list[str] = []
        page.on("pageerror", lambda error: self.failures.append(str(error)))

    async def start(self) -> None:
        """Press Start and wait for the first picture on the screen."""
        await self.page.click("#start")
        await self.until("live")

    async def until(self, state: str, *, timeout_ms: float = LIVE_MS) -> None:
        await self.page.wait_for_selector(f"body[data-state={state}]", timeout=timeout_ms)

    async def status(self) -> str:
        """What the page says, advice included."""
        return " ".join((await self.page.text_content("#status") or "").split())

    async def prompt(self, text: str) -> str:
        """Apply a prompt; returns what the page says once its first picture is on the screen."""
        await self.page.fill("#prompt", text)
        await self.page.press("#prompt", "Enter")
        return await self._on_screen()

    async def choose_style(self, name: str) -> str:
        """Press a style; returns as `prompt` does."""
        await self.page.get_by_role("group", name="Styles").get_by_text(name, exact=True).click()
        return await self._on_screen()

    async def _on_screen(self) -> str:
        await self.page.wait_for_selector("#round-trip[data-stage=shown]", timeout=LIVE_MS)
        return await self.page.text_content("#round-trip") or ""

    async def record(
        self, selector: str = "#output", *, seconds: float, width: int = 320, height: int = 240
    ) -> Pictures:
        """What the video element presents, at the size asked for."""
        taken: list[dict[str, Any]] = await self.page.locator(selector).evaluate(
            _RECORD, [seconds, width, height]
        )
        raw = b"".join(base64.b64decode(picture["rgb"]) for picture in taken)
        return Pictures(
            rgb=np.frombuffer(raw, np.uint8).reshape(len(taken), height, width, 3),
            at_ms=np.array([picture["at_ms"] for picture in taken]),
        )

    async def record_both(self, *, seconds: float) -> tuple[Pictures, Pictures]:
        """What the camera shows and what comes back at the same time, small."""
        async with asyncio.TaskGroup() as recordings:
            camera, output = (
                recordings.create_task(self.record(which, seconds=seconds, width=80, height=60))
                for which in ("#input", "#output")
            )
        return camera.result(), output.result()


@asynccontextmanager
async def opened_page(browser: Browser, url: str) -> AsyncIterator[Studio]:
    """A page of the server in a window of its own; none of its scripts may fail."""
    context = await browser.new_context()
    try:
        studio = Studio(await context.new_page())
        await studio.page.goto(url)
        yield studio
        assert studio.failures == []
    finally:
        await context.close()


@asynccontextmanager
async def opened_studio(chromium: Path, url: str, *, camera: Path | None) -> AsyncIterator[Studio]:
    """The page in a Chromium of its own."""
    async with (
        running_chromium(chromium, camera=camera) as browser,
        opened_page(browser, url) as studio,
    ):
        yield studio
