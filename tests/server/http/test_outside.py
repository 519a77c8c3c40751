"""http/outside.py: caller, scheme, host and path that handlers see behind proxies."""

import logging
from http import cookies
from pathlib import Path
from typing import Any

import pytest
import yarl
from slipstream_server.config import ServerConfig
from slipstream_server.http.addresses import page_addresses

from tests.server.calls import OFFER_PATH, Camera
from tests.server.serving import serving
from tests.server.signing_in import opened_by_link
from tests.server.whips import posted

TOKEN = "a-token-of-enough-length"
ICE_SERVERS = "/api/v1/webrtc/ice-servers"
STAGE = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "stage.example"}
"""What a proxy on this machine says, which is trusted by default."""


async def test_cookie_hsts_and_own_origin_follow_the_proxy(tmp_path: Path) -> None:
    """of its scheme, host and prefix; another origin is foreign as before."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        headers = STAGE | {"X-Forwarded-Prefix": "/slip"}
        async with server.client.get(
            "/", params={"token": TOKEN}, headers=headers, allow_redirects=False
        ) as response:
            jar = cookies.SimpleCookie(response.headers["Set-Cookie"])
            (cookie,) = jar.values()
            assert cookie.key == "__Secure-slipstream-443"
            assert cookie["secure"] is True
            assert cookie["path"] == "/slip/"
            assert "max-age" in response.headers["Strict-Transport-Security"]
        for origin, status in (("https://stage.example", 400), ("https://other.example", 403)):
            sent = headers | {"Origin": origin, "Authorization": f"Bearer {TOKEN}"}
            async with server.client.post(OFFER_PATH, data=b"", headers=sent) as response:
                assert response.status == status


async def test_without_trust_the_headers_are_nothing(tmp_path: Path) -> None:
    """no address is trusted where the setting is empty, this machine's own neither."""
    async with serving(tmp_path, ready=False, token=TOKEN, trusted_proxies="") as server:
        headers = STAGE | {"X-Forwarded-Prefix": "/slip"}
        async with server.client.get(
            "/", params={"token": TOKEN}, headers=headers, allow_redirects=False
        ) as response:
            (cookie,) = cookies.SimpleCookie(response.headers["Set-Cookie"]).values()
            assert cookie["secure"] == ""
            assert cookie["path"] == "/"
            assert "Strict-Transport-Security" not in response.headers


async def test_a_page_under_another_name_cannot_call_itself_localhost(tmp_path: Path) -> None:
    """DNS rebinding: its scripts may send a proxy's headers, but the browser writes Host."""
    async with serving(tmp_path, ready=False) as server:
        for host, forwarded, status in (
            ("evil.example", "localhost", 403),
            ("localhost", "evil.example", 403),
            ("localhost", "localhost", 200),
        ):
            headers = {"Host": host, "X-Forwarded-Host": forwarded}
            async with server.client.get("/health", headers=headers) as response:
                assert response.status == status


@pytest.mark.parametrize("proxies", ["127.0.0.0/8", ""], ids=["trusted", "not"])
async def test_callers_behind_a_proxy_are_counted_one_by_one(proxies: str, tmp_path: Path) -> None:
    """one that asks too often is refused, another is not; and one that makes up addresses gets
    no more in all than this machine's own."""
    async with serving(
        tmp_path, ready=False, offers_per_minute=1, trusted_proxies=proxies
    ) as server:

        async def offers(address: str, count: int) -> list[int]:
            statuses = []
            for _ in range(count):
                headers = {"X-Forwarded-For": address}
                async with server.client.post(OFFER_PATH, data=b"{", headers=headers) as answer:
                    statuses.append(answer.status)
            return statuses

        many = await offers("198.51.100.7", 3)
        assert many == ([400, 429, 429] if proxies else [400] * 3)
        if proxies:
            assert await offers("198.51.100.8", 2) == [400, 429]
        made_up = [(await offers(f"203.0.113.{one}", 1))[0] for one in range(40)]
        assert made_up.count(429) >= 30


async def test_the_log_names_the_caller_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """behind a proxy too; what is escaped in a path stays so."""
    caplog.set_level(logging.INFO)
    async with serving(tmp_path, ready=False) as server:
        path = yarl.URL("/whip/a%0AFAKE%20LINE/b", encoded=True)
        headers = {"X-Forwarded-For": "198.51.100.7"}
        async with server.client.delete(path, headers=headers) as response:
            assert response.status == 404
    (line,) = [
        record.getMessage() for record in caplog.records if "198.51.100.7" in record.getMessage()
    ]
    assert line.startswith("DELETE /whip/a%0AFAKE%20LINE/b from 198.51.100.7: ")
    assert "\n" not in line


async def test_everything_is_found_under_the_base_path_and_without_it(tmp_path: Path) -> None:
    """for proxies that leave it and for those that take it off; the token is asked for in both,
    however the path is escaped."""
    async with serving(tmp_path, token=TOKEN, base_path="/slip/stream/") as server:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for before in ("", "/slip/stream"):
            for path in ("/", "/view/", "/view/some", "/studio/main.js", "/health"):
                async with server.client.get(before + path) as response:
                    assert response.status == 200
            for path in (ICE_SERVERS, "/metrics"):
                async with server.client.get(before + path) as response:
                    assert response.status == 401
                async with server.client.get(before + path, headers=bearer) as response:
                    assert response.status == 200
        for escaped in (
            f"/%73lip/stream{ICE_SERVERS}",
            f"/slip/stream/%61pi{ICE_SERVERS.removeprefix('/api')}",
            f"/slip/stream/slip/stream{ICE_SERVERS}",
            f"/slip/./stream{ICE_SERVERS}",
        ):
            async with server.client.get(yarl.URL(escaped, encoded=True)) as response:
                assert response.status in (401, 404)
        async with server.client.get("/slip/stream", allow_redirects=False) as response:
            assert response.headers["Location"] == "stream/"
        async with server.client.get("/slip/stream/view?a=b", allow_redirects=False) as response:
            assert response.headers["Location"] == "view/?a=b"


@pytest.mark.parametrize(
    ("called", "told", "location"),
    [
        ("", {}, "/slip/whip/stage/"),
        ("/slip", {}, "/slip/whip/stage/"),
        ("/slip", {"X-Forwarded-Prefix": "/slip"}, "/slip/whip/stage/"),
        ("", {"X-Forwarded-Prefix": "/other"}, "/other/whip/stage/"),
        ("", {"X-Forwarded-Prefix": "//evil.example"}, "/slip/whip/stage/"),
    ],
)
async def test_a_location_is_as_it_is_called_outside(
    called: str, told: dict[str, str], location: str, tmp_path: Path
) -> None:
    """and a DELETE of it, with or without the base path, ends the call."""
    async with (
        serving(tmp_path, base_path="/slip") as server,
        posted(server.client, f"{called}/whip/stage", camera=Camera(), headers=told) as call,
    ):
        assert call.status == 201
        assert call.location.startswith(location)
        async with server.client.delete(call.location.removeprefix("/other")) as response:
            assert response.status == 200


async def test_an_allowed_origin_may_use_the_api_and_frame_the_viewers_page(
    tmp_path: Path,
) -> None:
    """with the token, sent by itself; no other may, and the studio stays in no frame."""
    origin = "https://studio.example"
    async with serving(
        tmp_path, ready=False, token=TOKEN, allow_origins=f"{origin}, http://b.example:80"
    ) as server:
        preflight = {"Access-Control-Request-Method": "POST"}
        for one, status in ((origin, 204), ("http://b.example", 204), ("https://c.example", 405)):
            headers = preflight | {"Origin": one}
            async with server.client.options(OFFER_PATH, headers=headers) as response:
                assert response.status == status
                allowed = response.headers.get("Access-Control-Allow-Origin")
                assert allowed == (one if status == 204 else None)
        page, _ = await opened_by_link(server.client, "/?token=" + TOKEN)
        for headers, status in (
            ({}, 401),
            (page, 401),
            ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ):
            headers = headers | {"Origin": origin}
            async with server.client.get(ICE_SERVERS, headers=headers) as response:
                assert response.status == status
        policies: dict[str, Any] = {}
        for path in ("/", "/view/some", "/view/", "/viewer/main.js"):
            async with server.client.get(path) as response:
                policy = response.headers["Content-Security-Policy"]
                policies[path] = policy.partition("frame-ancestors ")[2]
        assert policies.pop("/view/") == policies.pop("/view/some")
        assert set(policies.values()) == {"'self'"}


def test_the_printed_addresses_have_the_base_path() -> None:
    config = ServerConfig(base_path="/slip", token=TOKEN)
    assert page_addresses(config, 80, secure=False, token=TOKEN)[0].startswith(
        "http://127.0.0.1:80/slip/?token="
    )
