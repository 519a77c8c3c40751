"""The default model in a real browser: restyled pictures, in time with the camera, by prompt."""

import re
from pathlib import Path

import pytest

from tests.e2e import pictures
from tests.e2e.server import running_server
from tests.e2e.studio import opened_studio

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = 48


async def test_the_picture_is_restyled_live(
    chromium: Path, camera_clip: Path, tmp_path: Path
) -> None:
    """Output differs from the camera, follows its motion, and changes with the prompt."""
    async with (
        running_server(pipeline="diffusion", log=tmp_path / "server.log") as server,
        opened_studio(chromium, server.url, camera=camera_clip) as studio,
    ):
        await studio.start()
        progress = await studio.prompt("pencil")
        assert re.fullmatch(r"Prompt applied in [\d.]+ m?s, on screen after [\d.]+ m?s", progress)
        camera, pencil = await studio.record_both(count=PICTURES)
        assert len(pencil.rgb) == PICTURES
        assert pictures.distance(pencil, camera) > pictures.RESTYLED_LEVELS
        assert pictures.change(pencil) > 1
        alignment = pictures.align(pencil, camera)
        assert alignment.correlation > alignment.baseline + 0.1, alignment

        await studio.prompt("a dog in a garden, slightly neon")
        assert (await studio.page.inner_text("#understood")).startswith("Understood as ")
        await studio.choose_style("neon")
        assert not await studio.page.is_visible("#understood")
        _, neon = await studio.record_both(count=PICTURES)
        assert pictures.distance(neon, pencil) > pictures.RESTYLED_LEVELS
        assert pictures.differs_in_style(neon, pencil)
