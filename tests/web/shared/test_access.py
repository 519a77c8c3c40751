"""`shared/access.js`: what the page may do, taken from its address and shown with each request."""

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

AUTHORIZATION = """
    async () => (await import("/shared/access.js")).authorization().Authorization ?? ""
"""


async def shown(server: FakeServer, where: str) -> tuple[str, str]:
    """What a page there shows, and its address then."""
    await server.page.goto("about:blank")  # else only the fragment would change
    await server.page.goto(f"{SECURE}{where}")
    return await server.page.evaluate(AUTHORIZATION), server.page.url


async def test_the_token_leaves_the_address_and_outlives_a_reload(server: FakeServer) -> None:
    assert await shown(server, "/#access=one") == ("Bearer one", f"{SECURE}/")
    assert await shown(server, "/") == ("Bearer one", f"{SECURE}/")
    await server.page.reload()
    assert await server.page.evaluate(AUTHORIZATION) == "Bearer one"


async def test_a_view_that_came_by_a_link_changes_nothing_for_the_studio(
    server: FakeServer,
) -> None:
    """it is this tab's and this stream's; without one of its own a view shows the studio's."""
    server.respond("/whep/a", 404, {"error": "none"})
    server.respond("/whep/b", 404, {"error": "none"})
    assert (await shown(server, "/#access=studio"))[0] == "Bearer studio"
    view = await shown(server, "/view/a?status=1#access=viewer")
    assert view == ("Bearer viewer", f"{SECURE}/view/a?status=1")
    assert (await shown(server, "/view/a"))[0] == "Bearer viewer"
    assert (await shown(server, "/view/b"))[0] == "Bearer studio"
    assert (await shown(server, "/"))[0] == "Bearer studio"


async def test_requests_show_it(server: FakeServer) -> None:
    headers: list[str | None] = []
    server.page.on("request", lambda request: headers.append(request.headers.get("authorization")))
    await shown(server, "/blank#access=mine")
    await server.page.evaluate(
        """async () => (await import("/shared/http.js")).requestJson("/health", {
            method: "POST", body: {} })"""
    )
    assert headers[-1] == "Bearer mine"
