"""Recordings and stills in a real browser."""

from pathlib import Path

import av
import pytest
from playwright.async_api import Browser

from tests.e2e.server import running_server
from tests.e2e.studio import opened_page
from tests.e2e.test_page_states import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

STATUS = "document.querySelector('#record-status').textContent"


async def test_what_is_shown_is_kept(browser: Browser, tmp_path: Path) -> None:
    """a recording is begun and ended by its key and downloaded from its list; a still is a PNG of
    the picture's size."""
    folder = tmp_path / "recordings"
    async with (
        running_server(
            pipeline="echo",
            log=tmp_path / "server.log",
            more=("--record-dir", str(folder), "--record-free-mib", "0"),
        ) as server,
        opened_page(browser, server.url) as studio,
    ):
        page = studio.page
        await studio.start()
        await page.wait_for_selector("#record:enabled", state="attached")
        await until(page, "!document.querySelector('#record').hidden")
        await page.keyboard.press("Shift+R")
        await until(page, f"{STATUS} === 'Recording…'")
        await studio.record(count=40)
        async with page.expect_download() as taking:
            await page.keyboard.press("Shift+P")
        with av.open(str(await (await taking.value).path())) as still:
            (picture,) = still.decode(video=0)
        size = await page.locator("#output").evaluate("(one) => [one.videoWidth, one.videoHeight]")
        assert [picture.width, picture.height] == size
        await page.keyboard.press("Shift+R")
        await until(page, f"{STATUS} === ''")
        async with page.expect_download() as fetching:
            await page.click("role=list[name='Recordings'] >> role=link")
        with av.open(str(await (await fetching.value).path())) as film:
            assert sum(1 for _ in film.decode(video=0)) > 20
