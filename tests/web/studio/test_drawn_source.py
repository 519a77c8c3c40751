"""`studio/drawn_source.js` and `studio/capture_format.js`: what takes a camera's place."""

import base64
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_FIT = """async (sizes) => {
  const { fittedSize, parseFormat } = await import("/studio/capture_format.js");
  const format = parseFormat("640 480 30");
  return sizes.map((size) => fittedSize(format, ...size));
}"""
_PARSE = """async (texts) => {
  const { formatText, parseFormat } = await import("/studio/capture_format.js");
  return texts.map((text) => formatText(parseFormat(text)));
}"""
# opens a source as the page does, and looks at the second picture of what it gives
_OPEN = """async ({ type, name, base64, format }) => {
  const { fileStream, testPicture } = await import("/studio/drawn_source.js");
  const { parseFormat } = await import("/studio/capture_format.js");
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  const chosen = parseFormat(format);
  let stream;
  try {
    stream = !name ? testPicture(chosen)
      : await fileStream(new File([bytes], name, { type }), chosen);
  } catch ({ title, advice }) {
    return { title, advice };
  }
  const video = document.createElement("video");
  [video.muted, video.srcObject] = [true, stream];
  await video.play();
  let frames = 0;
  const pixel = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    return [...context.getImageData(canvas.width / 4, canvas.height / 4, 1, 1).data].slice(0, 3);
  };
  await new Promise((done) => {
    const next = () => (++frames < 3 ? video.requestVideoFrameCallback(next) : done());
    video.requestVideoFrameCallback(next);
  });
  const found = { size: [video.videoWidth, video.videoHeight], pixel: pixel() };
  stream.getTracks().forEach((track) => track.stop());
  return found;
}"""


def clip(colour: tuple[int, int, int], *, width_px: int, height_px: int) -> bytes:
    """A WebM of one colour, a second long."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        picture = np.full((height_px, width_px, 3), colour, np.uint8)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def image(colour: tuple[int, int, int], *, width_px: int, height_px: int) -> bytes:
    """A PNG of one colour."""
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = width_px, height_px, "rgb24"
    codec.time_base = Fraction(1)
    picture = np.full((height_px, width_px, 3), colour, np.uint8)
    packets = codec.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")) + codec.encode()
    return b"".join(bytes(packet) for packet in packets)


async def opened(
    server: FakeServer, *, name: str = "", type: str = "", data: bytes = b"", format: str
) -> dict[str, Any]:
    """What a stream of the source shows, or the problem with it."""
    source = {"name": name, "type": type, "base64": base64.b64encode(data).decode()}
    found: dict[str, Any] = await server.evaluate(_OPEN, source | {"format": format})
    return found


def is_near(found: list[int], colour: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 24 for one, other in zip(found, colour, strict=True))


async def test_a_picture_keeps_its_shape(server: FakeServer) -> None:
    """as large as the format allows, also upright, with even sides."""
    sizes = [(1920, 1080), (1080, 1920), (64, 48), (333, 500), (10_000, 1)]
    assert await server.evaluate(_FIT, sizes) == [
        [640, 360],
        [360, 640],
        [640, 480],
        [426, 640],
        [640, 16],
    ]


async def test_a_format_that_is_not_offered_is_the_usual_one(server: FakeServer) -> None:
    texts = [None, "", "1280 720 60", "1280 721 60", "640 480 31", "nonsense"]
    usual = "640 480 30"
    found = await server.evaluate(_PARSE, texts)
    assert found == [usual, usual, "1280 720 60", usual, usual, usual]


async def test_a_file_and_a_test_picture_are_captured(server: FakeServer) -> None:
    """in their colours, and in the size that was chosen."""
    red, blue = (200, 30, 40), (20, 60, 210)
    video = clip(red, width_px=320, height_px=180)
    shown = await opened(server, name="a.webm", type="video/webm", data=video, format="640 480 30")
    assert shown["size"] == [640, 360] and is_near(shown["pixel"], red), shown
    still = image(blue, width_px=100, height_px=200)
    shown = await opened(server, name="a.png", type="image/png", data=still, format="320 240 15")
    assert shown["size"] == [160, 320] and is_near(shown["pixel"], blue), shown
    shown = await opened(server, format="1280 720 10")
    assert shown["size"] == [1280, 720] and is_near(shown["pixel"], (0, 255, 255)), shown


@pytest.mark.parametrize(("name", "type"), [("a.mp4", "video/mp4"), ("a.png", "image/png")])
async def test_a_file_that_cannot_be_played_is_named(
    server: FakeServer, name: str, type: str
) -> None:
    """with what the browser says, and what would play."""
    found = await opened(server, name=name, type=type, data=b"nonsense", format="640 480 30")
    assert found["title"] == "This browser cannot play the file"
    assert found["advice"].startswith(f"{name}: ") and "WebM" in found["advice"]


async def test_a_file_is_chosen_on_the_page(server: FakeServer, tmp_path: Path) -> None:
    """without one, or with one that is no clip, the page says so and makes no call; size and rate
    are remembered."""
    page = server.page
    await page.goto(SECURE)
    await page.select_option("#camera-size", "1280 720")
    await page.select_option("#camera-rate", "15")
    assert await page.is_hidden("#choose-file")
    await page.select_option("#camera", "file")
    await page.click("#start")
    await page.locator("#status").get_by_text("No file was chosen").wait_for()
    bad = tmp_path / "song.mp4"
    bad.write_bytes(b"nonsense")
    async with page.expect_file_chooser() as chooser:
        await page.click("#choose-file")
    await (await chooser.value).set_files(bad)
    await page.click("#start")
    await page.get_by_role("alert").get_by_text("cannot play the file").wait_for()
    assert "song.mp4" in await page.inner_text("#notice-advice")
    assert not [path for method, path in server.requests if method == "POST"]
    await page.reload()
    assert await page.input_value("#camera-size") == "1280 720"
    assert await page.input_value("#camera-rate") == "15"
    assert await page.input_value("#camera") != "file"
