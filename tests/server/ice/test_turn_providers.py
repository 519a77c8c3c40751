"""Cloudflare's and Twilio's relays, from servers of our own that speak their documented APIs."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import BasicAuth, web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import since_boot_s
from slipstream_server.config import ServerConfig
from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError
from slipstream_server.ice import turn_providers
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.ice.turn_providers import (
    LIFE_S,
    CredentialCache,
    HostedTurnRefused,
    Provider,
    TurnProviders,
    cloudflare,
    configured_providers,
    fetch,
    twilio,
)
from slipstream_server.ice.url_choice import MAX_URLS

from tests.server.serving import poll, serving

KEY, TOKEN = "a-key", "a-token"
SID, AUTH = "AC123", "auth"


class Providers:
    """Both APIs, and what they were asked; a fault takes the place of every answer."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.fault: Callable[[], web.Response] | None = None
        self.silent = False
        self.app = web.Application()
        self.app.router.add_post(
            "/v1/turn/keys/{key}/credentials/generate-ice-servers", self._cloudflare
        )
        self.app.router.add_post("/2010-04-01/Accounts/{sid}/Tokens.json", self._twilio)

    async def _cloudflare(self, request: web.Request) -> web.Response:
        await self._begin(request)
        if self.fault is not None:
            return self.fault()
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        assert request.match_info["key"] == KEY
        assert await request.json() == {"ttl": LIFE_S}
        turns = ("turn:turn.example:3478?transport=udp", "turns:turn.example:5349?transport=tcp")
        return web.json_response(
            {
                "iceServers": [
                    {"urls": ["stun:stun.example:3478"]},
                    {"urls": list(turns), "username": "u", "credential": "c"},
                ]
            },
            status=201,
        )

    async def _twilio(self, request: web.Request) -> web.Response:
        await self._begin(request)
        if self.fault is not None:
            return self.fault()
        login = BasicAuth.decode(request.headers["Authorization"])
        if (login.login, login.password) != (SID, AUTH):
            return web.json_response({"code": 20003, "message": "Authenticate"}, status=401)
        assert request.match_info["sid"] == SID
        assert (await request.post())["Ttl"] == str(LIFE_S)
        turn = "turn:global.example:3478?transport=udp"
        return web.json_response(
            {
                "account_sid": SID,
                "username": "tu",
                "password": "tc",
                "ttl": str(LIFE_S),
                "date_created": "Wed, 25 Nov 2026 19:00:00 +0000",
                "ice_servers": [
                    {"url": "stun:global.example:3478", "urls": "stun:global.example:3478"},
                    {"url": turn, "urls": turn, "username": "tu", "credential": "tc"},
                ],
            },
            status=201,
        )

    async def _begin(self, request: web.Request) -> None:
        self.requests.append(request.path)
        if self.silent:
            await asyncio.Event().wait()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Providers, str]]:
    api = Providers()
    async with TestServer(api.app, shutdown_timeout=0.1) as server:
        yield api, str(server.make_url("")).rstrip("/")


def both(origin: str) -> tuple[Provider, Provider]:
    return cloudflare(KEY, TOKEN, origin=origin), twilio(SID, AUTH, origin=origin)


async def test_cloudflare_is_asked_as_it_documents() -> None:
    """every URL becomes a server of its own, those of a relay with the credentials."""
    async with running() as (_, origin):
        stun, udp, tls = await fetch(cloudflare(KEY, TOKEN, origin=origin))
    assert stun == IceServer(urls="stun:stun.example:3478")
    assert udp == IceServer(
        urls="turn:turn.example:3478?transport=udp", username="u", credential="c"
    )
    assert tls.urls.startswith("turns:")


async def test_twilio_is_asked_as_it_documents() -> None:
    async with running() as (_, origin):
        stun, turn = await fetch(twilio(SID, AUTH, origin=origin))
    assert stun == IceServer(urls="stun:global.example:3478")
    assert (turn.username, turn.credential) == ("tu", "tc")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda: web.Response(status=500, text="down"), "answers 500 Internal Server Error: down"),
        (lambda: web.Response(text="<html>"), "its answer cannot be read"),
        (lambda: web.json_response({"other": 1}), "its answer cannot be read"),
        (lambda: web.json_response({"iceServers": [], "ice_servers": []}), "names no server"),
        (
            lambda: web.json_response(
                {"iceServers": [{"urls": "http://x"}], "ice_servers": [{"urls": "http://x"}]}
            ),
            "names no server",
        ),
        (lambda: web.Response(status=302, headers={"Location": "/"}), "answers 302"),
    ],
)
async def test_what_is_no_answer_is_reported(
    fault: Callable[[], web.Response], reason: str
) -> None:
    async with running() as (api, origin):
        api.fault = fault
        for provider in both(origin):
            with pytest.raises(HostedTurnRefused, match=reason):
                await fetch(provider)


async def test_wrong_secrets_are_reported() -> None:
    async with running() as (_, origin):
        for provider in (cloudflare(KEY, "no", origin=origin), twilio(SID, "no", origin=origin)):
            with pytest.raises(HostedTurnRefused, match="answers 401 Unauthorized"):
                await fetch(provider)


async def test_one_that_is_down_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """it is logged and asked again; the other's servers are given out, and nothing waits."""
    async with running() as (_, origin):
        turn = TurnProviders(
            (cloudflare(KEY, TOKEN, origin="http://127.0.0.1:9"), twilio(SID, AUTH, origin=origin))
        )
        assert turn.valid_servers(since_boot_s()) == ()
        with caplog.at_level(logging.WARNING):
            renewing = asyncio.create_task(turn.run())
            try:
                await poll(
                    lambda: (
                        len(turn.valid_servers(since_boot_s())) == 2 and "Cloudflare" in caplog.text
                    )
                )
            finally:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
    assert "asked again in 5 s" in caplog.text
    assert AUTH not in caplog.text


async def test_a_silent_one_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_providers, "ANSWER_S", 0.1)
    async with running() as (api, origin):
        api.silent = True
        with pytest.raises(TimeoutError):
            await fetch(cloudflare(KEY, TOKEN, origin=origin))


async def test_callers_get_them_beside_the_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asked for once, however many callers there are; a silent provider holds nobody up."""
    async with running() as (api, origin):
        monkeypatch.setattr(turn_providers, "configured_providers", lambda config: both(origin))
        async with serving(tmp_path, ready=False, stun="stun:own:1") as server:

            async def listed() -> list[dict[str, Any]]:
                async with server.client.get("/api/v1/webrtc/ice-servers") as response:
                    servers: list[dict[str, Any]] = (await response.json())["iceServers"]
                    return servers

            for _ in range(2000):
                if len(servers := await listed()) == MAX_URLS and len(api.requests) == 2:
                    break
                await asyncio.sleep(0.01)
            assert servers[0] == {"urls": "stun:own:1"}
            assert all("credential" in one for one in servers if one["urls"].startswith("turn"))
            assert {one["urls"].partition(":")[0] for one in servers} == {"stun", "turn", "turns"}
            await listed()
            assert len(api.requests) == 2
    async with running() as (api, origin):
        api.silent = True
        async with (
            serving(tmp_path, ready=False, stun="stun:own:1") as server,
            server.client.get("/api/v1/webrtc/ice-servers") as response,
        ):
            assert (await response.json())["iceServers"] == [{"urls": "stun:own:1"}]


def test_they_are_named_by_the_usual_variables() -> None:
    """as the providers' own examples name them; our own names come first."""
    environment = {
        "CLOUDFLARE_TURN_KEY_ID": "k",
        "CLOUDFLARE_TURN_API_TOKEN": "t",
        "TWILIO_ACCOUNT_SID": "s",
        "TWILIO_AUTH_TOKEN": "a",
    }
    one, two = configured_providers(read_config([], environment))
    assert (one.url.split("/")[6], one.authorization) == ("k", "Bearer t")
    assert two.authorization == "Basic " + base64.b64encode(b"s:a").decode()
    environment["SLIPSTREAM_CLOUDFLARE_TURN_KEY_ID"] = "ours"
    assert "/ours/" in configured_providers(read_config([], environment))[0].url
    assert configured_providers(ServerConfig()) == ()


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match="cloudflare_turn_api_token is missing"):
        ServerConfig(cloudflare_turn_key_id="k")
    with pytest.raises(ConfigError, match="twilio_account_sid is missing"):
        ServerConfig(twilio_auth_token="a")


@given(
    st.floats(1, 1e6),
    st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=30),
)
def test_only_valid_credentials_are_given_out(
    life_s: float, events: list[tuple[bool, float]]
) -> None:
    """never after its time; fetched anew before that; after failures it is asked again in time."""
    credentials: CredentialCache[int] = CredentialCache(life_s=life_s)
    assert credentials.due_in_s(0) == 0
    now_s, fetched_s = 0.0, None
    for number, (works, step_s) in enumerate(events):
        now_s += step_s
        if works:
            credentials.fetched([number], now_s)
            fetched_s = now_s
            assert credentials.valid(now_s) == (number,)
            assert credentials.due_in_s(now_s) < life_s
        else:
            credentials.failed(now_s)
            assert 0 < credentials.due_in_s(now_s) <= 300
        for later_s in (0.0, life_s / 2, life_s):
            holds = fetched_s is not None and now_s + later_s < fetched_s + life_s
            assert bool(credentials.valid(now_s + later_s)) is holds


async def test_without_a_provider_nothing_runs() -> None:
    """it ends at once, and no server is offered."""
    providers = TurnProviders(())
    await asyncio.wait_for(providers.run(), 10)
    assert providers.valid_servers(0) == ()
