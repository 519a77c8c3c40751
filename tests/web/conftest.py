"""The page without a server: its files and a server's answers are put into Chromium by hand."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from tests.e2e.browser import running_chromium

SECURE = "http://localhost:1"
INSECURE = "http://studio.test"
_WEB = Path(__file__).parents[2] / "web"
_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


class Fake:
    """A server of files and of prepared answers.

    Args:
        page: whose requests are answered; none leaves the browser.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answers: dict[str, tuple[int, dict[str, str], Any]] = {
            "/health": (200, {}, {"ready": True, "engine_state": "ready", "engine_detail": ""}),
            "/api/v1/webrtc/ice-servers": (200, {}, {"iceServers": []}),
        }
        self.asked: list[tuple[str, str]] = []

    def answer(
        self, path: str, status: int, body: Any, *, headers: dict[str, str] | None = None
    ) -> None:
        """What to say on `path` from now on."""
        self.answers[path] = (status, headers or {}, body)

    async def handle(self, route: Route) -> None:
        path = "/" + route.request.url.split("/", 3)[3].partition("?")[0]
        self.asked.append((route.request.method, path))
        file = _WEB / (path.strip("/") or "index.html")
        if path in self.answers:
            status, headers, body = self.answers[path]
            await route.fulfill(status=status, headers=headers, body=json.dumps(body))
        elif file.is_file():
            await route.fulfill(body=file.read_bytes(), content_type=_KINDS[file.suffix])
        else:
            await route.fulfill(status=404, body="")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """A Chromium without a camera, for all tests of a file."""
    async with running_chromium(chromium, camera=None) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def fake(browser: Browser) -> AsyncIterator[Fake]:
    """An empty page of its own before a fake server."""
    page = await browser.new_page()
    fake = Fake(page)
    await page.route("**/*", fake.handle)
    yield fake
    await page.close()
