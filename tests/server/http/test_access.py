"""http/access.py: which requests are authorised."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from slipstream_server.config import ServerConfig
from slipstream_server.http.access import COOKIE, Guard

from tests.server.calls import OFFER_PATH
from tests.server.serving import serving

TOKEN = "a-token-of-enough-length"
ICE_SERVERS = "/api/v1/webrtc/ice-servers"


async def test_the_api_needs_the_token_in_one_of_three_ways(tmp_path: Path) -> None:
    """query, header, or the cookie that a page opened with it gets; the page itself needs none."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        get = server.client.get
        for path in (ICE_SERVERS, "/metrics"):
            async with get(path) as response:
                assert response.status == 401
                assert "the token is missing or wrong" in (await response.json())["error"]
        async with get(ICE_SERVERS, params={"token": TOKEN[:-1] + "X"}) as response:
            assert response.status == 401
        async with get(ICE_SERVERS, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200
        for path in ("/health", "/studio/main.js"):
            async with get(path) as response:
                assert response.status == 200
        async with get("/", params={"token": TOKEN}) as response:
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        async with get(ICE_SERVERS) as response:  # with the cookie by now
            assert response.status == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookie_of_https_is_for_https_only(scheme: str) -> None:
    """`Secure`: it would else be sent in the clear to the same host's port of plain HTTP."""

    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response()

    request = make_mocked_request("GET", f"/?token={TOKEN}", headers={"Host": "a"})
    answer = await Guard(ServerConfig(token=TOKEN)).add_headers(request.clone(scheme=scheme), page)
    assert isinstance(answer, web.Response)
    assert bool(answer.cookies[COOKIE]["secure"]) is (scheme == "https")


async def test_a_token_that_is_no_text_is_a_wrong_one(tmp_path: Path) -> None:
    """401 as for any other, not a failure of the server."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for header in (b"Authorization: Bearer \xff", b"Cookie: slipstream_token=\xff"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.client.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")
            assert b" 401 " in await reader.readline()
            writer.close()
            await writer.wait_closed()


async def test_pages_of_other_sites_may_change_nothing(tmp_path: Path) -> None:
    """a foreign origin is refused; our own, and callers that are no page, are not."""
    async with serving(tmp_path, ready=False) as server:
        own = f"http://127.0.0.1:{server.client.port}"
        for origin, status in (
            ("https://example.org", 403),
            ("null", 403),
            ("http://[bad", 403),
            (own, 400),
        ):
            headers = {"Origin": origin}
            async with server.client.post(OFFER_PATH, data=b"", headers=headers) as response:
                assert response.status == status
        for site, status in (("same-origin", 400), ("cross-site", 403), ("same-site", 403)):
            headers = {"Origin": "https://stage.example", "Sec-Fetch-Site": site}
            async with server.client.post(OFFER_PATH, data=b"", headers=headers) as response:
                assert response.status == status
        async with server.client.post(OFFER_PATH, data=b"") as response:
            assert response.status == 400


async def test_a_name_that_was_made_to_point_here_is_refused(tmp_path: Path) -> None:
    """DNS rebinding: without a token only this machine's own names are served."""
    async with serving(tmp_path, ready=False) as server:
        for host, status in (
            ("evil.example", 403),
            ("[bad", 403),
            ("localhost:99999", 403),
            ("localhost:1", 200),
            ("[::1]:8080", 200),
        ):
            async with server.client.get("/health", headers={"Host": host}) as response:
                assert response.status == status


async def test_without_a_token_no_other_origin_is_allowed(tmp_path: Path) -> None:
    async with serving(tmp_path, ready=False) as server:
        for path in ("/", "/view/some", "/studio/main.js", "/health", "/nothing"):
            async with server.client.get(path) as response:
                assert "Access-Control-Allow-Origin" not in response.headers
