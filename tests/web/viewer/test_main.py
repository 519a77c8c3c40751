"""`viewer/main.js`: the clean view while there is nothing to show."""

import pytest

from tests.web.conftest import PREFIX, SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_a_missing_server_is_reported_without_advice(server: FakeServer) -> None:
    """the advice is about the studio's Start button, which this page lacks."""
    await server.page.route("**/api/v1/webrtc/ice-servers", lambda route: route.abort())
    await server.page.goto(f"{SECURE}/view?status=1")
    await server.page.get_by_text("The server does not answer").wait_for()
    assert "Start" not in await server.page.inner_text("body")


async def test_a_refusal_is_reported_with_its_reason(server: FakeServer) -> None:
    """the stream is the one that the address names."""
    server.respond("/whep/some%20name", 404, {"error": "there is no stream 'some name'"})
    await server.page.goto(f"{SECURE}/view/some%20name?status=1")
    await server.page.get_by_text("nothing live, waiting · There is no stream").wait_for()
    assert ("POST", "/whep/some%20name") in server.requests


async def test_nothing_is_written_on_the_programme(server: FakeServer) -> None:
    """without a picture the view is transparent, also while the server refuses; no word is seen."""
    await server.page.goto(f"{SECURE}/view")
    await server.page.wait_for_function("document.querySelector('#status').textContent")
    assert await server.page.inner_text("body") == ""
    background = "getComputedStyle(document.body).backgroundColor"
    assert await server.page.evaluate(background) == "rgba(0, 0, 0, 0)"
    assert not await server.page.is_visible("video")


async def test_a_proxys_path_is_before_all_that_the_page_asks_for(server: FakeServer) -> None:
    """also where the server, which the proxy has not told, leaves it out of the Location."""
    location = {"Location": "/whep/stage/some-id"}
    server.respond(
        "/whep/stage", 201, "no answer, so that the page ends the call", headers=location
    )
    async with server.page.expect_request(lambda request: request.method == "DELETE") as ending:
        await server.page.goto(f"{SECURE}{PREFIX}/view/stage")
    assert (await ending.value).url == f"{SECURE}{PREFIX}/whep/stage/some-id"
    assert all(path.startswith(f"{PREFIX}/") for _, path in server.requests)
