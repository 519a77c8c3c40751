"""The default model in a real browser: it restyles the picture, follows it, and obeys prompts."""

import re
from pathlib import Path

import pytest

from tests.e2e import looks
from tests.e2e.server import running_server
from tests.e2e.studio import opened_studio

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = 48


async def test_the_picture_is_restyled_live(chromium: Path, film: Path, tmp_path: Path) -> None:
    """Frames come back, differ from the camera's, follow its motion, and obey a new prompt."""
    async with (
        running_server(pipeline="diffusion", log=tmp_path / "server.log") as server,
        opened_studio(chromium, server.url, camera=film) as studio,
    ):
        await studio.start()
        said = await studio.prompt("pencil")
        assert re.fullmatch(r"Prompt applied in [\d.]+ m?s, on screen after [\d.]+ m?s", said)
        camera, pencil = await studio.record_both(count=PICTURES)
        assert len(pencil.rgb) == PICTURES
        assert looks.distance(pencil, camera) > looks.RESTYLED_LEVELS
        assert looks.change(pencil) > 1
        found = looks.following(pencil, camera)
        assert found.likeness > found.otherwise + 0.1, found

        await studio.prompt("a dog in a garden, slightly neon")
        assert (await studio.page.inner_text("#understood")).startswith("Understood as ")
        await studio.choose_style("neon")
        assert not await studio.page.is_visible("#understood")
        _, neon = await studio.record_both(count=PICTURES)
        assert looks.distance(neon, pencil) > looks.RESTYLED_LEVELS
        assert looks.is_other_character(neon, pencil)
