"""http/access.py, http/sign_in.py: which requests are authorised."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from slipstream_server.config import ServerConfig
from slipstream_server.errors import Unauthorized
from slipstream_server.http.access import Guard
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.http.sign_in import SignIn
from slipstream_server.http.token_issuer import TokenIssuer, make_issuer

from tests.server.calls import OFFER_PATH
from tests.server.serving import serving
from tests.server.signing_in import bearer_of, opened_by_link, signed_for

TOKEN = "a-token-of-enough-length"
ICE_SERVERS = "/api/v1/webrtc/ice-servers"


async def status_of(client: Any, path: str, **options: Any) -> int:
    async with client.get(path, **options) as response:
        return int(response.status)


async def test_the_api_needs_the_token(tmp_path: Path) -> None:
    """as a Bearer token or in the query; the page itself needs none."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for path in (ICE_SERVERS, "/metrics"):
            async with server.client.get(path) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert "the token is missing" in (await response.json())["error"]
        for wrong in (TOKEN[:-1] + "X", TOKEN + "X", TOKEN.upper(), ""):
            assert await status_of(server.client, ICE_SERVERS, params={"token": wrong}) == 401
            assert await status_of(server.client, ICE_SERVERS, headers=bearer_of(wrong)) == 401
        assert await status_of(server.client, ICE_SERVERS, params={"token": TOKEN}) == 200
        for scheme in ("Bearer", "bearer"):
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert await status_of(server.client, ICE_SERVERS, headers=headers) == 200
        for path in ("/health", "/studio/main.js", "/", "/view/some"):
            assert await status_of(server.client, path) == 200


async def test_a_page_keeps_its_access_in_two_halves(tmp_path: Path) -> None:
    """the token leaves the address; what comes in its place is of use only together, and neither
    half is the token. All else in the address stays."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        link = f"/view/some?status=1&token={TOKEN}&x=%26"
        async with server.client.get(link, allow_redirects=False) as response:
            cookie = response.cookies[f"slipstream-{server.client.port}"]
        page, where = await opened_by_link(server.client, link)
        assert where.path_qs == "/view/some?status=1&x=%26"
        half = {"Cookie": f"{cookie.key}={cookie.value}"}
        assert await status_of(server.client, ICE_SERVERS, headers=page) == 200
        server.client.session.cookie_jar.clear()
        assert await status_of(server.client, ICE_SERVERS, headers=page) == 401
        assert await status_of(server.client, ICE_SERVERS, headers=half) == 401
        assert await status_of(server.client, ICE_SERVERS, headers=bearer_of(cookie.value)) == 401
        assert await status_of(server.client, ICE_SERVERS, params={"token": cookie.value}) == 401
        assert await status_of(server.client, ICE_SERVERS, headers=page | half) == 200
        assert TOKEN not in cookie.value + page["Authorization"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")


async def test_what_came_by_another_link_stays_good(tmp_path: Path) -> None:
    """a browser's pages share its cookie: the studio keeps its access when a view is opened, and
    the view has no more than its link gave."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        studio, _ = await opened_by_link(server.client, f"/?token={TOKEN}")
        token = signed_for(TOKEN, Role.VIEW, "some")["Authorization"].partition(" ")[2]
        view, where = await opened_by_link(server.client, f"/view/some?token={token}")
        assert str(where.relative()) == "/view/some"
        assert await status_of(server.client, "/metrics", headers=studio) == 200
        assert await status_of(server.client, "/metrics", headers=view) == 403
        parameters = "/api/v1/streams/some/parameters"
        assert await status_of(server.client, parameters, headers=view) == 404
        assert await status_of(server.client, parameters.replace("some", "it"), headers=view) == 403


async def test_the_pages_of_a_link_need_no_cookie(tmp_path: Path) -> None:
    """two of OBS's browser sources that open at the same moment would get each other's."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        link = signed_for(TOKEN, Role.VIEW, "some")
        token = link["Authorization"].partition(" ")[2]
        page, where = await opened_by_link(server.client, f"/view/some?token={token}")
        assert page == link
        assert where == server.client.make_url("/view/some")
        assert not list(server.client.session.cookie_jar)


async def test_a_wrong_token_leaves_the_address_too(tmp_path: Path) -> None:
    """and gives nothing: the page says by itself what it is refused."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for wrong in ("wrong", "slip1.view.a.9." + "x" * 43):
            assert await opened_by_link(server.client, f"/?token={wrong}") == (
                {},
                server.client.make_url("/"),
            )
        assert not list(server.client.session.cookie_jar)
    (tmp_path / "open").mkdir()
    async with serving(tmp_path / "open", ready=False) as server:
        assert (await opened_by_link(server.client, "/?token=left-over"))[0] == {}


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookie_of_https_is_for_https_only(scheme: str) -> None:
    """`Secure`, and a name that nothing else can have set; on plain http it names the port too."""
    request = make_mocked_request("GET", f"/?token={TOKEN}", headers={"Host": "a:8443"})
    answer = _sign_in(make_issuer(TOKEN)).exchange(request.clone(scheme=scheme))
    (cookie,) = answer.cookies.values()
    assert bool(cookie["secure"]) is (scheme == "https")
    assert cookie.key == {"http": "slipstream-8443", "https": "__Host-slipstream-8443"}[scheme]
    assert (cookie["path"], cookie["domain"]) == ("/", "")


async def test_a_links_end_is_the_end_of_its_pages() -> None:
    """no page outlives the link that it was opened by."""
    now_s = 1_000.0
    issuer = TokenIssuer(signer=make_issuer(TOKEN).signer, now_s=lambda: now_s)
    link = issuer.issue(Role.ADMIN, ALL_STREAMS, lifetime_s=60).token
    sign_in = _sign_in(issuer)
    answer = sign_in.exchange(make_mocked_request("GET", f"/?token={link}"))
    (cookie,) = answer.cookies.values()
    headers = {
        "Cookie": f"{cookie.key}={cookie.value}",
        **bearer_of(answer.headers["Location"].partition("#access=")[2]),
    }
    request = make_mocked_request("GET", "/", headers=headers)
    now_s = 1_059
    found = sign_in.credential(request, accept_cookie=True)
    assert (found.role, found.stream, found.expires_s) == (Role.ADMIN, ALL_STREAMS, 1_060)
    now_s = 1_060
    with pytest.raises(Unauthorized, match="has expired on 1970-01-01; ask for a new one"):
        sign_in.credential(request, accept_cookie=True)


def _sign_in(issuer: TokenIssuer) -> SignIn:
    return SignIn(TOKEN, issuer, client_of=lambda request: "a", on_wrong_token=lambda: None)


async def test_a_route_without_a_row_is_found_at_the_start() -> None:
    async def secret(request: web.Request) -> web.Response:
        return web.Response(text="secret")

    app = web.Application()
    guard = Guard(None, is_loopback=True, addressing=ServerConfig().web_addressing)
    app.router.add_get("/health", secret)
    guard.check_routes(app)
    app.router.add_get("/forgotten", secret)
    with pytest.raises(LookupError, match="/forgotten has no row in the table of routes"):
        guard.check_routes(app)


async def test_a_token_that_is_no_text_is_a_wrong_one(tmp_path: Path) -> None:
    """401 as for any other, not a failure of the server."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for header in (
            b"Authorization: Bearer \xff",
            b"Cookie: slipstream-%d=\xff" % (server.client.port or 0),
            b"Authorization: Bearer slip1p.admin.*.99999999999." + b"A" * 43,
        ):
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


@pytest.mark.parametrize("base", ["/slipstream", "/w", "/a/b"])
async def test_a_path_before_all_changes_nothing_of_who_is_let_in(
    base: str, tmp_path: Path
) -> None:
    """under it and beside it; a page's link is answered below it as well."""
    async with serving(tmp_path, ready=False, token=TOKEN, base_path=base) as server:
        for prefix in (base, ""):
            for path, status in (("/metrics", 401), ("/health", 200), ("/view/some", 200)):
                assert await status_of(server.client, prefix + path) == status
            metrics = prefix + "/metrics"
            assert await status_of(server.client, metrics, headers=bearer_of(TOKEN)) == 200
        page, where = await opened_by_link(server.client, f"{base}/?token={TOKEN}")
        assert where.path == f"{base}/"
        assert await status_of(server.client, base + "/metrics", headers=page) == 200
