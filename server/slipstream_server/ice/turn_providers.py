"""STUN and TURN of Cloudflare and Twilio: credentials fetched ahead, kept, and renewed.

An offer never waits for them: it gets those that are there. Where a provider does not answer, calls
go on with what else is configured, and with its last credentials as long as they hold.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from slipstream_server.config import ServerConfig
from slipstream_server.ice.credential_cache import LIFE_S, CredentialCache
from slipstream_server.ice.gathering import IceServer

logger = logging.getLogger(__name__)

CLOUDFLARE = "https://rtc.live.cloudflare.com"
TWILIO = "https://api.twilio.com"
ANSWER_S = 10.0
_LOOK_S = 60.0  # the sleep of a laptop does not count as waiting
_ANSWER_MAX_BYTES = 64 << 10
_MAX_URLS = 16
_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")


class HostedTurnRefused(Exception):
    """A provider has answered, but not with servers; the text is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How one is asked, by POST, and how its answer is read."""

    name: str
    url: str
    authorization: str
    content_type: str
    body: str
    read: Callable[[bytes], "Sequence[_Served]"]


class _Served(msgspec.Struct, frozen=True):
    """An entry of a browser's `iceServers`, as both providers write it."""

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None


class _CloudflareAnswer(msgspec.Struct, frozen=True):
    iceServers: list[_Served]


class _TwilioAnswer(msgspec.Struct, frozen=True):
    ice_servers: list[_Served]


def cloudflare(key_id: str, api_token: str, *, origin: str = CLOUDFLARE) -> Provider:
    """Source: Cloudflare Realtime, "Generate Credentials" (TURN)."""
    return Provider(
        name="Cloudflare",
        url=f"{origin}/v1/turn/keys/{key_id}/credentials/generate-ice-servers",
        authorization=f"Bearer {api_token}",
        content_type="application/json",
        body=f'{{"ttl": {LIFE_S}}}',
        read=lambda answer: msgspec.json.decode(answer, type=_CloudflareAnswer).iceServers,
    )


def twilio(account_sid: str, auth_token: str, *, origin: str = TWILIO) -> Provider:
    """Source: Twilio, "REST API: Network Traversal Service Tokens"."""
    user = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
    return Provider(
        name="Twilio",
        url=f"{origin}/2010-04-01/Accounts/{account_sid}/Tokens.json",
        authorization=f"Basic {user}",
        content_type="application/x-www-form-urlencoded",
        body=f"Ttl={LIFE_S}",
        read=lambda answer: msgspec.json.decode(answer, type=_TwilioAnswer).ice_servers,
    )


def providers(config: ServerConfig) -> tuple[Provider, ...]:
    """Those that the settings name."""
    found = []
    if config.cloudflare_turn_key_id:
        found.append(cloudflare(config.cloudflare_turn_key_id, config.cloudflare_turn_api_token))
    if config.twilio_account_sid:
        found.append(twilio(config.twilio_account_sid, config.twilio_auth_token))
    return tuple(found)


async def fetch(provider: Provider) -> tuple[IceServer, ...]:
    """Fresh servers with credentials that hold for `LIFE_S`.

    Raises:
        HostedTurnRefused: if the answer is not that.
        aiohttp.ClientError, TimeoutError: if there is none.
    """
    headers = {"Authorization": provider.authorization, "Content-Type": provider.content_type}
    async with (
        asyncio.timeout(ANSWER_S),
        aiohttp.ClientSession() as http,
        http.post(
            provider.url, data=provider.body, headers=headers, allow_redirects=False
        ) as answer,
    ):
        body = await answer.content.read(_ANSWER_MAX_BYTES)
        if answer.status not in (200, 201):
            said = body[:200].decode(errors="replace").strip()
            raise HostedTurnRefused(f"it answers {answer.status} {answer.reason}: {said}")
    try:
        served = provider.read(body)
    except msgspec.MsgspecError as error:
        raise HostedTurnRefused(f"its answer cannot be read: {error}") from error
    servers = tuple(
        IceServer(urls=url, username=one.username, credential=one.credential)
        for one in served
        for url in ([one.urls] if isinstance(one.urls, str) else one.urls)
        if url.startswith(_SCHEMES)
    )
    if not servers:
        raise HostedTurnRefused("its answer names no server")
    return servers[:_MAX_URLS]


class HostedTurn:
    """What the providers give, at any moment.

    Args:
        asked: the providers; with none of them nothing is done.
    """

    def __init__(self, asked: Sequence[Provider]) -> None:
        self._credentials = [(provider, CredentialCache[IceServer]()) for provider in asked]

    @classmethod
    def of(cls, config: ServerConfig) -> "HostedTurn":
        """Those that the settings name."""
        return cls(providers(config))

    def servers(self, now_s: float) -> tuple[IceServer, ...]:
        """Those whose credentials hold.

        Args:
            now_s: the wall clock, in seconds since 1970.
        """
        return tuple(
            server for _, credentials in self._credentials for server in credentials.held(now_s)
        )

    async def run(self) -> None:
        """Fetch and renew, until cancelled."""
        async with asyncio.TaskGroup() as parts:
            for provider, credentials in self._credentials:
                parts.create_task(_renew(provider, credentials), name=f"relays {provider.name}")


async def _renew(provider: Provider, credentials: CredentialCache[IceServer]) -> None:
    while True:
        wait_s = credentials.due_in_s(time.time())
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, _LOOK_S))
            continue
        try:
            servers = await fetch(provider)
        except (HostedTurnRefused, aiohttp.ClientError, TimeoutError, OSError) as error:
            credentials.failed(time.time())
            logger.warning(
                "%s gives no TURN credentials: %s; asked again in %.0f s",
                provider.name,
                error or type(error).__name__,
                credentials.due_in_s(time.time()),
            )
        else:
            credentials.fetched(servers, time.time())
            logger.info("%s gives %d STUN and TURN servers", provider.name, len(servers))
