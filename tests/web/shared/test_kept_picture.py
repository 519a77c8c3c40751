"""`shared/kept_picture.js`: the last picture stays in sight, whenever the page hears of the end."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# a stream of one bright colour, then what Chromium paints when a connection closes
_PLAY = """
async ({ black, isForgotten, isLate = false, isNext = false }) => {
  const { KeptPicture } = await import("/shared/kept_picture.js");
  const [video, kept] = [document.createElement("video"), document.createElement("canvas")];
  document.body.append(video, kept);
  kept.hidden = video.muted = true;
  const picture = new KeptPicture(video, kept);
  let ink;
  const stream = (size, colour) => {
    ink = colour;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [size, size];
    const context = canvas.getContext("2d");
    const draw = () => { context.fillStyle = ink; context.fillRect(0, 0, size, size); };
    setInterval(draw, 20);
    return canvas.captureStream();
  };
  const until = async (is) => { while (!is()) await new Promise((on) => setTimeout(on, 10)); };
  picture.keep();
  const early = picture.isShown;
  let frames = 0;
  const count = () => { frames += 1; video.requestVideoFrameCallback(count); };
  count();
  video.srcObject = stream(64, "rgb(200, 160, 120)");
  await video.play();
  await until(() => video.videoWidth === 64 && frames > 3);
  if (isLate) {
    picture.keep();
    [frames, ink] = [0, "black"];
    await until(() => frames > 5);
  }
  if (isForgotten) {
    video.srcObject = null;
    picture.forget();
  }
  if (black) {
    frames = 0;
    video.srcObject = stream(black, "black");
    await video.play();
    await until(() => video.videoWidth === black && frames > 70);
  }
  if (isNext) await until(() => !picture.isShown);
  else picture.keep();
  const [red, green] = kept.getContext("2d").getImageData(kept.width / 2, 9, 1, 1).data;
  return { early, isShown: picture.isShown, width: kept.width, red, green };
}
"""


@pytest.mark.parametrize("black_px", [0, 2, 64])
async def test_it_is_the_last_one_that_was_no_black_frame(
    server: FakeServer, black_px: int
) -> None:
    """also where the browser has painted black before `keep` is called, small or in the picture's
    own size, and for longer than a second; before the first picture there is none to keep."""
    found: dict[str, Any] = await server.evaluate(_PLAY, {"black": black_px, "isForgotten": False})
    assert (found["early"], found["isShown"], found["width"]) == (False, True, 64)
    assert abs(found["red"] - 200) < 12 and abs(found["green"] - 160) < 12


async def test_the_end_of_its_own_connection_does_not_take_it_away(server: FakeServer) -> None:
    """a last frame may be shown after it was kept, then the browser's black one, both before the
    track has ended; the pictures of the next connection do take it away."""
    late: dict[str, Any] = await server.evaluate(
        _PLAY, {"black": 0, "isForgotten": False, "isLate": True}
    )
    assert (late["isShown"], late["width"]) == (True, 64)
    assert abs(late["red"] - 200) < 12
    following = {"black": 64, "isForgotten": False, "isLate": True, "isNext": True}
    assert not (await server.evaluate(_PLAY, following))["isShown"]


async def test_one_that_is_forgotten_is_not_shown(server: FakeServer) -> None:
    """a new call begins without the last one's picture."""
    found: dict[str, Any] = await server.evaluate(_PLAY, {"black": 2, "isForgotten": True})
    assert not found["isShown"]
