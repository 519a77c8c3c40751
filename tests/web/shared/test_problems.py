"""`shared/problems.js`: every failure is shown with what happened and what to do."""

import pytest

from tests.web.conftest import INSECURE, SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

OFFER = "/api/v1/webrtc/offer"
ICE_SERVERS = "/api/v1/webrtc/ice-servers"

# a camera without a device: a canvas
CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 8, 8);
  return canvas.captureStream(10);
};
"""


async def problem_after_start(server: FakeServer, *, origin: str = SECURE) -> str:
    """Press Start on the page and read the problem."""
    page = server.page
    await page.goto(origin)
    await page.click("#start")
    await page.wait_for_selector("body[data-state=error]")
    title, advice = await page.inner_text("#notice-title"), await page.inner_text("#notice-advice")
    status = " ".join((await page.text_content("#status") or "").split())
    assert status == f"{title}. {advice}", "a screen reader reads what is shown"
    assert await page.is_enabled("#start")
    return status


async def test_an_insecure_origin_is_reported_before_start(server: FakeServer) -> None:
    """Browsers give no camera to plain http: the page says so at once, and what to do."""
    await server.page.goto(INSECURE)
    await server.page.get_by_text("Browsers give a camera to secure pages only").first.wait_for()
    assert "https" in await server.page.inner_text("#notice-advice")


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
async def test_a_refused_camera(server: FakeServer, name: str, words: str) -> None:
    """Each of the browser's reasons has its own advice, and the server is not called."""
    await server.page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => "
        f"{{ throw new DOMException('so it is', '{name}'); }};"
    )
    assert (await problem_after_start(server)).startswith(words)
    assert ("POST", OFFER) not in server.requests


async def test_a_full_server(server: FakeServer) -> None:
    """Its own reason is shown, and when to try again."""
    await server.page.add_init_script(CAMERA)
    reason = "2 streams run already, the most is 2; wait until one ends"
    server.respond(OFFER, 503, {"error": reason}, headers={"Retry-After": "7"})
    assert await problem_after_start(server) == (
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
async def test_a_refusal(server: FakeServer, status: int, words: str) -> None:
    """The server's text is part of the page's."""
    await server.page.add_init_script(CAMERA)
    server.respond(OFFER, status, {"error": "sdp is empty, send an offer"})
    assert (await problem_after_start(server)).startswith(words)


async def test_a_server_that_is_gone(server: FakeServer) -> None:
    """It is reported before the camera is opened."""
    await server.page.route(f"**{ICE_SERVERS}", lambda route: route.abort())
    problem = await problem_after_start(server)
    assert problem.startswith("The server does not answer. Look in its terminal")


@pytest.mark.parametrize(
    ("state", "title"),
    [("starting", "The model is loading"), ("down", "The engine is not running")],
)
async def test_an_engine_that_is_not_ready(server: FakeServer, state: str, title: str) -> None:
    """Before Start the page shows what the server waits for, in the server's text."""
    health = {"ready": False, "engine_state": state, "engine_detail": "loading the weights"}
    server.respond("/health", 200, health)
    await server.page.goto(SECURE)
    await server.page.locator("#notice-title").get_by_text(title).wait_for()
    assert "loading the weights" in (await server.page.inner_text("#notice-advice")).lower()
    server.respond("/health", 200, health | {"ready": True, "engine_state": "ready"})
    await server.page.locator("#notice-title").get_by_text("Ready when you are").wait_for()
