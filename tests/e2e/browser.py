"""A real Chromium: where it is, and how it is started with a file for a camera."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW_TO_GET_ONE = (
    "there is no Chromium on the PATH and none from Playwright: run `make test`, which looks for "
    "one, or install it yourself (apt install chromium, or playwright install chromium)"
)
_FLAGS = (
    "--headless=new",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


async def find_chromium() -> Path | None:
    """The Chromium to use: the machine's own, else the one that Playwright has installed."""
    candidates = [Path(found) for name in NAMES if (found := shutil.which(name))]
    async with async_playwright() as playwright:
        candidates.append(Path(playwright.chromium.executable_path))
    return next(filter(_runs, candidates), None)


def _runs(executable: Path) -> bool:
    """Whether it starts: a missing file or library is an error."""
    try:
        completed = subprocess.run([executable, "--version"], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return completed.returncode == 0


@asynccontextmanager
async def running_chromium(
    executable: Path, *, camera: Path | None, more: Sequence[str] = ()
) -> AsyncIterator[Browser]:
    """A headless Chromium with a fresh profile.

    Args:
        more: further flags.
        camera: a .y4m or .mjpeg file that its one camera plays in a loop; None: no camera.
    """
    flags = [*_FLAGS, *more]
    if camera is None:
        flags.remove("--use-fake-device-for-media-stream")
    else:
        flags.append(f"--use-file-for-fake-video-capture={camera}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    async with async_playwright() as playwright:
        # headless by the flag above: Playwright's own flag starts another program in some versions
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=flags,
            headless=True,
            ignore_default_args=["--headless", "--headless=old"],
        )
        try:
            yield browser
        finally:
            await browser.close()
