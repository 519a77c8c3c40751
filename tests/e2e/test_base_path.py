"""The pages under a path, and the viewer's page in a frame of another site, in a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import ConsoleMessage, Page
from yarl import URL

from tests.e2e.browser import running_chromium
from tests.e2e.server import running_server
from tests.e2e.studio import LIVE_MS, opened_page

pytestmark = pytest.mark.browser


@asynccontextmanager
async def site() -> AsyncIterator[URL]:
    """A site whose page has the address in its query in a frame."""

    async def page(request: web.Request) -> web.Response:
        frame = request.query["frame"]
        text = f'<!doctype html><iframe src="{frame}" allow="autoplay"></iframe>'
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()


def errors_of(page: Page) -> list[str]:
    """What the browser says it has refused or missed, from now on."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", note)
    return errors


async def test_a_call_under_a_path_and_its_view_in_another_sites_frame(
    chromium: Path, numbers: Path, tmp_path: Path
) -> None:
    """no file is missed, the policy refuses nothing of the pages' own, the links have the path;
    the frame of a site that is allowed plays, that of another is refused."""
    async with site() as allowed, site() as other:
        flags = ("--base-path", "/slip", "--allow-origins", str(allowed.origin()))
        async with (
            running_server(pipeline="echo", log=tmp_path / "server.log", more=flags) as server,
            running_chromium(chromium, camera=numbers) as browser,
            opened_page(browser, "about:blank") as studio,
            opened_page(browser, "about:blank") as framing,
        ):
            errors = errors_of(studio.page)
            own = URL(server.url).with_host("localhost")
            await studio.page.goto(str(own))  # without the slash at its end
            await studio.start()
            assert await studio.page.input_value("#whip-url") == f"{own}/whip/obs"
            view = await studio.page.input_value("#view-url")
            assert view.startswith(f"{own}/view")
            assert errors == []

            await framing.page.goto(str(allowed.with_query(frame=view)))
            frame = framing.page.frames[1]
            await frame.wait_for_selector("body[data-state=live]", timeout=LIVE_MS)

            errors = errors_of(framing.page)
            await framing.page.goto(str(other.with_query(frame=view)))
            assert "frame-ancestors" in " ".join(errors)
