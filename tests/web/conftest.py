"""The page without a server: its files and a server's responses are put into Chromium by hand."""

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
_CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_BLANK = "/blank"
PREFIX = "/behind/a/proxy"  # is before paths or not, as where a proxy takes it off


class FakeServer:
    """Serves the files of `web/` and prepared responses to one page.

    Args:
        page: whose requests it answers; none leaves the browser.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[tuple[str, str]] = []  # method and path
        self._responses: dict[str, tuple[int, dict[str, str], Any]] = {
            "/health": (200, {}, {"ready": True, "engine_state": "ready", "engine_detail": ""}),
            "/api/v1/webrtc/ice-servers": (200, {}, {"iceServers": []}),
            _BLANK: (200, {}, {}),
        }

    def respond(
        self, path: str, status: int, body: Any, *, headers: dict[str, str] | None = None
    ) -> None:
        """Respond so to requests for `path` from now on; the body goes out as JSON."""
        self._responses[path] = (status, headers or {}, body)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call a JavaScript function, which may import modules, on a page without elements."""
        await self.page.goto(f"{SECURE}{_BLANK}")
        return await self.page.evaluate(script, argument)

    async def handle(self, route: Route) -> None:
        path = "/" + route.request.url.split("/", 3)[3].partition("?")[0]
        self.requests.append((route.request.method, path))
        path = path.removeprefix(PREFIX)
        if path == "/view" or path.startswith("/view/"):
            file = _WEB / "view.html"
        else:
            file = _WEB / (path.strip("/") or "index.html")
        if path in self._responses:
            status, headers, body = self._responses[path]
            await route.fulfill(status=status, headers=headers, body=json.dumps(body))
        elif file.is_file():
            await route.fulfill(body=file.read_bytes(), content_type=_CONTENT_TYPES[file.suffix])
        else:
            await route.fulfill(status=404, body="")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """A Chromium without a camera, for all tests of a file."""
    async with running_chromium(chromium, camera=None) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def server(browser: Browser) -> AsyncIterator[FakeServer]:
    """A fake server with a new page of its own."""
    page = await browser.new_page()
    server = FakeServer(page)
    await page.route("**/*", server.handle)
    yield server
    await page.close()
