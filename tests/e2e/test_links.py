"""Links with tokens in a real browser: what they become, and what their pages may do."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext

from tests.e2e.browser import running_chromium
from tests.e2e.studio import opened_page
from tests.server.command import health, slipstream

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-enough-length"


async def cookies_sent_to_another_port(context: BrowserContext) -> str:
    """What a service at another port of this host is sent when its page is opened."""
    sent: list[str] = []

    async def take(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie", ""))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", take)
    async with TestServer(app, host="127.0.0.1") as other:
        page = await context.new_page()
        await page.goto(str(other.make_url("/")))
        await page.close()
    return sent[0]


async def test_tokens_leave_the_address_and_the_pages_work_on(
    chromium: Path, numbers: Path
) -> None:
    """the studio by its link, and a viewer by the one it hands out; both also after a reload. The
    browser sends another port of this host nothing that it could use."""
    async with (
        slipstream("--token", TOKEN) as (_, link),
        running_chromium(chromium, camera=numbers) as browser,
        opened_page(browser, link) as studio,
        opened_page(browser, "about:blank") as view,
    ):
        origin = link.partition("?")[0]
        await health(origin)
        assert studio.page.url == origin
        await studio.page.reload()
        await studio.start()
        view_link = await studio.page.input_value("#view-url")
        (token,) = parse_qs(urlsplit(view_link).query)["token"]
        assert token.startswith("slip1.view.")
        await view.page.goto(view_link)
        await view.until("live")
        assert view.page.url == view_link.partition("?")[0]
        await view.page.reload()
        await view.until("live")
        assert await studio.page.input_value("#whip-token") != ""

        stolen = await cookies_sent_to_another_port(studio.page.context)
        assert stolen.startswith("slipstream-")
        status = """async (cookie) => (await fetch("/metrics", {
            headers: cookie ? { Authorization: `Bearer ${cookie}` } : {} })).status"""
        for attempt in ("", stolen.partition("=")[2]):
            assert await studio.page.evaluate(status, attempt) == 401
        await asyncio.gather(studio.page.click("#stop"), view.until("connecting"))
