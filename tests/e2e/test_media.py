"""The server's media path with a real Chromium as peer, its pictures sent straight back."""

from pathlib import Path

import pytest

from tests.bench.media import Case, Figures, Size, run_case
from tests.e2e.browser import running_chromium

pytestmark = pytest.mark.browser


async def call(chromium: Path, codec: str | None) -> Figures:
    """A call of four seconds; the browser offers `codec` only, or all it has."""
    case = Case(module="tests.bench.media_edge", codec=codec, hints=True)
    size = Size(width_px=640, height_px=480, fps=24)
    async with running_chromium(chromium, camera=None) as browser:
        return await run_case(browser, case, size, seconds=4.0)


async def test_a_call_uses_h264_and_one_key_frame(chromium: Path) -> None:
    """H.264 is chosen; the decoder needs no second key frame, and every picture is readable."""
    figures = await call(chromium, None)
    assert figures.codec == "video/H264"
    assert figures.key_frames == 1
    assert figures.unread == 0


async def test_a_browser_without_h264_is_served(chromium: Path) -> None:
    """by aiortc's VP8 encoder and this server's jitter buffer."""
    figures = await call(chromium, "VP8")
    assert figures.codec == "video/VP8"
    assert figures.unread == 0
