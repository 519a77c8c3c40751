"""Every trouble is told in words: what happened, and what to do."""

import pytest

from tests.web.conftest import INSECURE, SECURE, Fake

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

OFFER = "/api/v1/webrtc/offer"
ICE_SERVERS = "/api/v1/webrtc/ice-servers"

# a camera without a device: a canvas
_CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 8, 8);
  return canvas.captureStream(10);
};
"""


async def told(fake: Fake, *, origin: str = SECURE) -> str:
    """Press Start on the page and read what went wrong."""
    page = fake.page
    await page.goto(origin)
    await page.click("#start")
    await page.wait_for_selector("body[data-state=error]")
    title, advice = await page.inner_text("#notice-title"), await page.inner_text("#notice-advice")
    status = " ".join((await page.text_content("#status") or "").split())
    assert status == f"{title}. {advice}", "what is read aloud is what is shown"
    assert await page.is_enabled("#start")
    return status


async def test_an_insecure_origin_is_told_before_start(fake: Fake) -> None:
    """Browsers give no camera to plain http: the page says it on sight, and what to do."""
    await fake.page.goto(INSECURE)
    await fake.page.get_by_text("Browsers give a camera to secure pages only").first.wait_for()
    assert "https" in await fake.page.inner_text("#notice-advice")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotAllowedError", "The browser did not give the camera. Click the camera or lock sign"),
        ("NotFoundError", "No camera was found. Plug one in"),
        ("NotReadableError", "The camera is busy. Another program"),
        ("OverconstrainedError", "The chosen camera is gone. Plug it in again"),
        ("WeirdError", "The camera did not start. The browser says: so it is"),
    ],
)
async def test_a_refused_camera(fake: Fake, name: str, words: str) -> None:
    """Each of the browser's reasons has its own advice, and the server is not called."""
    await fake.page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => "
        f"{{ throw new DOMException('so it is', '{name}'); }};"
    )
    assert (await told(fake)).startswith(words)
    assert ("POST", OFFER) not in fake.asked


async def test_a_full_server(fake: Fake) -> None:
    """Its own reason is shown, and when to try again."""
    await fake.page.add_init_script(_CAMERA)
    reason = "2 streams run already, the most is 2; wait until one ends"
    fake.answer(OFFER, 503, {"error": reason}, headers={"Retry-After": "7"})
    assert await told(fake) == (
        "The server cannot take this call now. "
        "2 streams run already, the most is 2; wait until one ends. Try again in 7 s."
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "The server did not accept the call. Sdp is empty, send an offer."),
        (401, "The server wants a token. Sdp is empty, send an offer. Open the page by"),
        (500, "The server failed. Sdp is empty, send an offer. Its log says more."),
    ],
)
async def test_a_refusal(fake: Fake, status: int, words: str) -> None:
    """The server's text stands in the page's."""
    await fake.page.add_init_script(_CAMERA)
    fake.answer(OFFER, status, {"error": "sdp is empty, send an offer"})
    assert (await told(fake)).startswith(words)


async def test_a_server_that_is_gone(fake: Fake) -> None:
    """It is told before the camera is asked for."""
    await fake.page.route(f"**{ICE_SERVERS}", lambda route: route.abort())
    assert (await told(fake)).startswith("The server does not answer. Look in its terminal")


@pytest.mark.parametrize(
    ("state", "title"),
    [("starting", "The model is loading"), ("down", "The engine is not running")],
)
async def test_an_engine_that_is_not_ready(fake: Fake, state: str, title: str) -> None:
    """Before Start the page says what the server waits for, in the server's words."""
    health = {"ready": False, "engine_state": state, "engine_detail": "loading the weights"}
    fake.answer("/health", 200, health)
    await fake.page.goto(SECURE)
    await fake.page.locator("#notice-title").get_by_text(title).wait_for()
    assert "loading the weights" in (await fake.page.inner_text("#notice-advice")).lower()
    fake.answer("/health", 200, health | {"ready": True, "engine_state": "ready"})
    await fake.page.locator("#notice-title").get_by_text("Ready when you are").wait_for()


async def test_the_clean_page_speaks_of_no_button_that_it_lacks(fake: Fake) -> None:
    """a server that is away is named in its title; the advice is the studio page's."""
    await fake.page.route(f"**{ICE_SERVERS}", lambda route: route.abort())
    await fake.page.goto(f"{SECURE}/view.html")
    await fake.page.get_by_text("The server does not answer").wait_for()
    assert "Start" not in await fake.page.inner_text("body")
