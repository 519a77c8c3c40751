"""What the gate answers by itself: whom it refuses before it reads, and who may read the answer."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from slipstream_server.http.roles import Role
from slipstream_server.http.token_issuer import make_issuer
from slipstream_server.http.wrong_tokens import FREE_TRIES
from slipstream_server.web_addressing import AllowedOrigins, TrustedProxies, WebAddressing
from yarl import URL

from tests.fleet.gates import node, running_gate
from tests.server.calls import OFFER_PATH

TOKEN = "a token of this fleet"
VIEW = make_issuer(TOKEN).issue(Role.VIEW, "*").token
STUDIO = "https://studio.example"
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
ANSWER_S = 5.0  # less than a body may take


async def status_before_the_body(url: str, method: str, path: str, token: str) -> int:
    """The status of a request whose body does not come."""
    host, port = URL(url).host or "", URL(url).port or 0
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Content-Length: 100"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(ANSWER_S):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", OFFER_PATH),
        ("PATCH", f"{OFFER_PATH}/a.id.proof"),
        ("POST", "/whip/stage"),
        ("POST", "/whep/stage"),
        ("PATCH", "/whip/stage/a.id.proof"),
        ("PATCH", "/api/v1/streams/stage/parameters"),
    ],
)
async def test_who_may_do_nothing_is_refused_before_the_body_comes(method: str, path: str) -> None:
    """without a token and with a wrong one, on every route that takes a body."""
    async with running_gate([], token=TOKEN) as url:
        assert await status_before_the_body(url, method, path, "") == 401
        assert await status_before_the_body(url, method, path, "wrong") == 401


async def test_a_link_that_is_good_for_anything_is_let_through() -> None:
    """a node decides about the rest, and here is none."""
    async with running_gate([], token=TOKEN) as url, aiohttp.ClientSession(url) as http:
        headers = {"Authorization": f"Bearer {VIEW}"}
        async with http.post(OFFER_PATH, data=b"{}", headers=headers) as response:
            assert response.status == 503
        async with http.post(OFFER_PATH, data=b"{}") as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "the token is missing" in (await response.json())["error"]


async def test_wrong_tokens_are_counted_by_caller() -> None:
    """behind a trusted proxy by whom it names: one who guesses has to wait, and nobody else."""
    proxies = WebAddressing(trusted_proxies=TrustedProxies.parse("127.0.0.0/8"))
    async with (
        running_gate([], token=TOKEN, addressing=proxies) as url,
        aiohttp.ClientSession(url) as http,
    ):

        async def status(token: str, caller: str) -> int:
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": caller}
            async with http.post(OFFER_PATH, data=b"{}", headers=headers) as response:
                return response.status

        guesses = [await status(f"guess {number}", "203.0.113.5") for number in range(FREE_TRIES)]
        assert set(guesses) == {401}
        assert await status(TOKEN, "203.0.113.5") == 429
        assert await status(VIEW, "203.0.113.5") == 503
        assert await status(TOKEN, "203.0.113.6") == 503


@pytest.mark.parametrize(
    ("path", "origin", "may_read"),
    [
        (OFFER_PATH, STUDIO, True),
        (OFFER_PATH, "https://other.example", False),
        ("/whip/stage", "https://other.example", True),
    ],
)
async def test_pages_of_other_origins_read_refusals_as_of_a_server(
    path: str, origin: str, may_read: bool
) -> None:
    """those of the allowed origins all, any page those of WHIP; though there is no node, the
    question that browsers ask first is answered."""
    addressing = WebAddressing(allowed_origins=AllowedOrigins([STUDIO]))
    told = origin if may_read else None
    async with (
        running_gate([], token=TOKEN, addressing=addressing) as url,
        aiohttp.ClientSession(url) as http,
    ):
        for token, status in ((TOKEN, 503), ("", 401)):
            headers = {"Origin": origin} | ({"Authorization": f"Bearer {token}"} if token else {})
            async with http.post(path, data=b"", headers=headers) as response:
                assert (response.status, response.headers.get(ALLOW_ORIGIN)) == (status, told)
        first = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        async with http.options(path, headers=first) as response:
            assert response.headers.get(ALLOW_ORIGIN) == told
            assert response.status == (204 if may_read else 503)


async def test_a_nodes_answer_keeps_its_own_headers(tmp_path: Path) -> None:
    """none is there twice, which browsers refuse."""
    addressing = WebAddressing(allowed_origins=AllowedOrigins([STUDIO]))
    async with (
        node(tmp_path / "a", "a", token=TOKEN, allow_origins=STUDIO) as one,
        running_gate([one], token=TOKEN, addressing=addressing) as url,
        aiohttp.ClientSession(url) as http,
    ):
        headers = {"Origin": STUDIO, "Authorization": f"Bearer {VIEW}"}
        async with http.post(OFFER_PATH, data=b"{", headers=headers) as response:
            assert response.status == 400
            assert response.headers.getall(ALLOW_ORIGIN) == [STUDIO]
            assert response.headers.getall("Access-Control-Expose-Headers")[1:] == []
