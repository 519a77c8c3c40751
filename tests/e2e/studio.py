"""Drives the studio page: presses buttons, reads texts, records pictures."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Browser, Page

from tests.e2e.browser import running_chromium
from tests.e2e.pictures import Pictures

LIVE_MS = 60_000
RECORD_MS = 60_000

# Draws every picture that each element presents onto a small canvas, until the last element has
# presented `count`, or the time is over. All are cropped to the last one's shape, as by the server.
_RECORD = """
({ selectors, count, width, height, limit_ms }) => new Promise((done) => {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const taken = selectors.map(() => []);
  const last = taken[taken.length - 1];
  const until_ms = performance.now() + limit_ms;
  const end = document.querySelector(selectors[selectors.length - 1]);
  const draw = (video) => {
    const shape = end.videoWidth / end.videoHeight || width / height;
    const wide = Math.min(video.videoWidth, video.videoHeight * shape);
    const high = Math.min(video.videoHeight, video.videoWidth / shape);
    const [left, top] = [(video.videoWidth - wide) / 2, (video.videoHeight - high) / 2];
    context.drawImage(video, left, top, wide, high, 0, 0, width, height);
  };
  const isOver = () => last.length >= count || performance.now() > until_ms;
  selectors.forEach((selector, index) => {
    const video = document.querySelector(selector);
    const take = (now) => {
      if (isOver()) return;
      video.requestVideoFrameCallback(take);
      draw(video);
      const { data } = context.getImageData(0, 0, width, height);
      let text = "";
      for (let at = 0; at < data.length; at += 4) {
        text += String.fromCharCode(data[at], data[at + 1], data[at + 2]);
      }
      taken[index].push({ at_ms: now, rgb: btoa(text) });
    };
    video.requestVideoFrameCallback(take);
  });
  const watch = setInterval(() => {
    if (!isOver()) return;
    clearInterval(watch);
    done(taken);
  }, 50);
})
"""


class Studio:
    """An open page; `failures` are the errors of its scripts."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.failures: list[str] = []
        page.on("pageerror", lambda error: self.failures.append(str(error)))

    async def start(self) -> None:
        """Press Start and wait for the first picture on the screen."""
        await self.page.click("#start")
        await self.until("live")

    async def stop(self) -> None:
        """Press Stop, where there is a call to be ended: its stream is not held then."""
        if await self.page.locator("#stop:enabled").count():
            await self.page.click("#stop")
            await self.until("idle")

    async def until(self, state: str, *, timeout_ms: float = LIVE_MS) -> None:
        await self.page.wait_for_selector(f"body[data-state={state}]", timeout=timeout_ms)

    async def status(self) -> str:
        """The status line, with the advice."""
        return " ".join((await self.page.text_content("#status") or "").split())

    async def prompt(self, text: str) -> str:
        """Apply a prompt; returns its progress line once its first picture is on the screen."""
        await self.page.fill("#prompt", text)
        await self.page.press("#prompt", "Enter")
        return await self._until_shown()

    async def choose_style(self, name: str) -> str:
        """Press a style's button; returns as `prompt` does."""
        styles = self.page.get_by_role("group", name="Style vocabulary")
        await styles.get_by_text(name, exact=True).click()
        return await self._until_shown()

    async def _until_shown(self) -> str:
        await self.page.wait_for_selector("#round-trip[data-stage=shown]", timeout=LIVE_MS)
        return await self.page.text_content("#round-trip") or ""

    async def record(self, selector: str = "#output", *, count: int) -> Pictures:
        """The next `count` pictures that a video element presents; fewer after a minute."""
        (pictures,) = await self._record(selector, count=count, width=320, height=240)
        return pictures

    async def record_both(self, *, count: int) -> tuple[Pictures, Pictures]:
        """The camera's pictures while `count` output pictures are presented, and those; small."""
        camera, output = await self._record("#input", "#output", count=count, width=80, height=60)
        return camera, output

    async def _record(self, *selectors: str, count: int, width: int, height: int) -> list[Pictures]:
        recordings: list[list[dict[str, Any]]] = await self.page.evaluate(
            _RECORD,
            {
                "selectors": selectors,
                "count": count,
                "width": width,
                "height": height,
                "limit_ms": RECORD_MS,
            },
        )
        return [
            Pictures(
                rgb=np.frombuffer(
                    b"".join(base64.b64decode(picture["rgb"]) for picture in taken), np.uint8
                ).reshape(len(taken), height, width, 3),
                at_ms=np.array([picture["at_ms"] for picture in taken]),
            )
            for taken in recordings
        ]


@asynccontextmanager
async def opened_page(
    browser: Browser, url: str, *, trusting: bool = False
) -> AsyncIterator[Studio]:
    """A page of the server in a browser context of its own; none of its scripts may fail.

    Args:
        trusting: accept any certificate, as a user may.
    """
    context = await browser.new_context(ignore_https_errors=trusting, color_scheme="dark")
    try:
        studio = Studio(await context.new_page())
        await studio.page.goto(url)
        yield studio
        await studio.stop()
        assert not studio.failures, studio.failures
    finally:
        await context.close()


@asynccontextmanager
async def opened_studio(chromium: Path, url: str, *, camera: Path | None) -> AsyncIterator[Studio]:
    """The studio in a Chromium of its own."""
    async with (
        running_chromium(chromium, camera=camera) as browser,
        opened_page(browser, url) as studio,
    ):
        yield studio
