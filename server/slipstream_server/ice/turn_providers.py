"""STUN and TURN of Cloudflare and Twilio: credentials fetched ahead, kept, and renewed.

An offer never waits for a provider: it gets the credentials at hand. Where a provider does not
answer, its last credentials are used until they expire, and other configured servers all along.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
import msgspec
from slipstream_protocol.clock import since_boot_s

from slipstream_server.config import ServerConfig
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.ice.url_choice import choose_urls

logger = logging.getLogger(__name__)

CLOUDFLARE = "https://rtc.live.cloudflare.com"
TWILIO = "https://api.twilio.com"
ANSWER_S = 10.0
LIFE_S = 86_400  # the longest that the providers allow
_RENEW_SHARE = 0.25  # of the life that is left at renewal, so a new call has at least so much
_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0
_SLEEP_MAX_S = 60.0  # the clock is read anew: the loop's stands still while a machine is suspended
_ANSWER_MAX_BYTES = 64 << 10
_MAX_URLS = 64  # of an answer, that are looked at
_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")

ItemT = TypeVar("ItemT")


class HostedTurnRefused(Exception):
    """A provider has answered, but not with servers; the message is the reason, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The POST request that fetches credentials, and the parser of its answer."""

    name: str
    url: str
    authorization: str
    content_type: str
    body: str
    read: Callable[[bytes], "Sequence[_ServerEntry]"]


class _ServerEntry(msgspec.Struct, frozen=True):
    """An entry of a browser's `iceServers`, as both providers write it."""

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None


class _CloudflareAnswer(msgspec.Struct, frozen=True):
    iceServers: list[_ServerEntry]


class _TwilioAnswer(msgspec.Struct, frozen=True):
    ice_servers: list[_ServerEntry]


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


def configured_providers(config: ServerConfig) -> tuple[Provider, ...]:
    """The providers that the settings name."""
    found = []
    if config.cloudflare_turn_key_id:
        found.append(cloudflare(config.cloudflare_turn_key_id, config.cloudflare_turn_api_token))
    if config.twilio_account_sid:
        found.append(twilio(config.twilio_account_sid, config.twilio_auth_token))
    return tuple(found)


async def fetch(provider: Provider) -> tuple[IceServer, ...]:
    """Servers with fresh credentials, valid for `LIFE_S`.

    Raises:
        HostedTurnRefused: if the provider refuses, or its answer holds no servers.
        aiohttp.ClientError, TimeoutError: if there is no answer.
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
            text = body[:200].decode(errors="replace").strip()
            raise HostedTurnRefused(f"it answers {answer.status} {answer.reason}: {text}")
    try:
        entries = provider.read(body)
    except msgspec.MsgspecError as error:
        raise HostedTurnRefused(f"its answer cannot be read: {error}") from error
    servers = tuple(
        IceServer(urls=url, username=entry.username, credential=entry.credential)
        for entry in entries
        for url in ([entry.urls] if isinstance(entry.urls, str) else entry.urls)
        if url.startswith(_SCHEMES)
    )[:_MAX_URLS]
    chosen = choose_urls([server.urls for server in servers])
    if not chosen:
        raise HostedTurnRefused("its answer names no server that a browser takes")
    return tuple(server for server in servers if server.urls in chosen)[: len(chosen)]


class CredentialCache(Generic[ItemT]):
    """Credentials that expire: when to fetch new ones, and which may still be given out.

    Pure: every time is an argument, in seconds.

    Args:
        life_s: how long fetched credentials are valid.
    """

    def __init__(self, *, life_s: float = LIFE_S) -> None:
        self._life_s = life_s
        self._items: tuple[ItemT, ...] = ()
        self._until_s = float("-inf")
        self._due_s = float("-inf")
        self._retry_s = _FIRST_RETRY_S

    def fetched(self, items: Sequence[ItemT], now_s: float) -> None:
        """New credentials have been fetched."""
        self._items = tuple(items)
        self._until_s = now_s + self._life_s
        self._due_s = now_s + self._life_s * (1 - _RENEW_SHARE)
        self._retry_s = _FIRST_RETRY_S

    def failed(self, now_s: float) -> None:
        """A fetch has failed; the old credentials are used until they expire."""
        self._due_s = now_s + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def valid(self, now_s: float) -> tuple[ItemT, ...]:
        """The credentials that have not expired."""
        return self._items if now_s < self._until_s else ()

    def due_in_s(self, now_s: float) -> float:
        """How long until the next fetch is due; 0 if it is now."""
        return max(0.0, self._due_s - now_s)


class TurnProviders:
    """The servers of every provider, renewed while `run` runs.

    Args:
        providers: whose credentials to fetch; with none of them `run` does nothing.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._credentials = [(provider, CredentialCache[IceServer]()) for provider in providers]

    @classmethod
    def from_config(cls, config: ServerConfig) -> "TurnProviders":
        """The providers that the settings name."""
        return cls(configured_providers(config))

    def valid_servers(self, now_s: float) -> tuple[IceServer, ...]:
        """The servers whose credentials have not expired.

        Args:
            now_s: since the machine was started, as `since_boot_s`.
        """
        return tuple(
            server for _, credentials in self._credentials for server in credentials.valid(now_s)
        )

    async def run(self) -> None:
        """Fetch and renew credentials, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for provider, credentials in self._credentials:
                tasks.create_task(_renew(provider, credentials), name=f"TURN of {provider.name}")


async def _renew(provider: Provider, credentials: CredentialCache[IceServer]) -> None:
    while True:
        wait_s = credentials.due_in_s(since_boot_s())
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, _SLEEP_MAX_S))
            continue
        try:
            servers = await fetch(provider)
        except (HostedTurnRefused, aiohttp.ClientError, TimeoutError, OSError) as error:
            credentials.failed(since_boot_s())
            logger.warning(
                "%s gives no TURN credentials: %s; asked again in %.0f s",
                provider.name,
                error or type(error).__name__,
                credentials.due_in_s(since_boot_s()),
            )
        else:
            credentials.fetched(servers, since_boot_s())
            logger.info("%s gives %d STUN and TURN servers", provider.name, len(servers))
