"""web/studio/camera_panel.js: whether the pictures on the page are mirrored."""

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TRANSFORM = "(id) => getComputedStyle(document.getElementById(id)).transform"


@pytest.mark.parametrize("video", ["input", "output"])
async def test_the_mirror_turns_both_pictures(server: FakeServer, video: str) -> None:
    """A hand that moves right does so in the camera's picture and in the generated one."""
    await server.page.goto(SECURE)
    mirror = server.page.locator("#mirror")
    assert await mirror.is_checked()
    await mirror.uncheck()
    assert await server.page.evaluate(TRANSFORM, video) == "none"
    await mirror.check()
    assert await server.page.evaluate(TRANSFORM, video) == "matrix(-1, 0, 0, 1, 0, 0)"
