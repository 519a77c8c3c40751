"""Take the pictures of the pages for OBS: the list of streams, and the dock that steers one.

python -m tests.e2e.obs_pictures FOLDER [--pipeline NAME]
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.e2e.clips import write_clip
from tests.e2e.server import running_server
from tests.e2e.studio import opened_page
from tests.e2e.test_page_states import until
from tests.e2e.test_whip import PUBLISH

LIST_PX = {"width": 1000, "height": 640}
DOCK_PX = {"width": 360, "height": 560}
STYLE = "pencil"
SETTLE_MS = 8_000  # until the picture is of that style


async def take(folder: Path, *, pipeline: str) -> None:
    """Publish a clip by WHIP as `obs`, steer it from the dock, save a picture of both pages.

    Raises:
        FileNotFoundError: if there is no Chromium.
    """
    chromium = await find_chromium()
    if chromium is None:
        raise FileNotFoundError(HOW_TO_GET_ONE)
    with tempfile.TemporaryDirectory() as scratch:
        camera = write_clip(Path(scratch) / "camera.y4m")
        async with (
            running_server(pipeline=pipeline, log=Path(scratch) / "server.log") as server,
            running_chromium(chromium, camera=camera) as browser,
            opened_page(browser, server.url) as publisher,
            opened_page(browser, f"{server.url}/health") as steering,
        ):
            await publisher.page.evaluate(PUBLISH, f"{server.url}/whip/obs")
            page = steering.page
            await page.set_viewport_size(DOCK_PX)  # type: ignore[arg-type]  # a TypedDict of ints
            await page.goto(f"{server.url}/dock.html?stream=obs")
            await page.wait_for_selector("fieldset:enabled")
            prompt = page.get_by_role("textbox", name="Prompt")
            await prompt.fill(STYLE)
            await prompt.press("Enter")
            await page.get_by_text("In force", exact=True).wait_for()
            await prompt.blur()
            await page.wait_for_timeout(SETTLE_MS)
            await page.screenshot(path=folder / "dock.png")
            await page.set_viewport_size(LIST_PX)  # type: ignore[arg-type]  # a TypedDict of ints
            await page.goto(f"{server.url}/streams.html")
            await until(page, "document.querySelector('.card img')?.naturalWidth > 0")
            await page.screenshot(path=folder / "streams.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.e2e.obs_pictures")
    parser.add_argument("folder", type=Path, help="where the PNGs go")
    parser.add_argument("--pipeline", default="diffusion", help="what the engine runs")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(take(args.folder, pipeline=args.pipeline))
    except (FileNotFoundError, TimeoutError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
