"""A model over two devices in a real browser: the road from camera to screen, and the prompt's."""

from pathlib import Path

import pytest

from tests.e2e import pictures
from tests.e2e.server import running_server
from tests.e2e.studio import opened_studio

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = 12
TWO = ("--devices", "cpu,cpu", "--size", "128x128")


async def test_the_picture_comes_by_way_of_two_devices(
    chromium: Path, camera_clip: Path, tmp_path: Path
) -> None:
    """it is restyled by a prompt that came while it ran; `/health` says which device runs what."""
    async with (
        running_server(pipeline="diffusion", log=tmp_path / "server.log", more=TWO) as server,
        opened_studio(chromium, server.url, camera=camera_clip) as studio,
    ):
        assert "over cpu, cpu: " in str(await server.health())
        await studio.start()
        await studio.prompt("pencil")
        camera, pencil = await studio.record_both(count=PICTURES)
        assert len(pencil.rgb) == PICTURES
        assert pictures.distance(pencil, camera) > pictures.RESTYLED_LEVELS
