"""STUN and TURN servers: whether they answer, our address as they see it, our credentials.

Source: RFC 8489 (STUN), RFC 8656 (TURN).
"""

import asyncio
import contextlib
import ssl
import time
from typing import Any

import aiohttp
from aioice import stun, turn
from aiortc.rtcicetransport import parse_stun_turn_uri

from slipstream_server.doctor.finding import Finding, fail, ok, warn
from slipstream_server.ice.gathering import GATHER_S
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.ice.turn_providers import HostedTurnRefused, Provider, fetch

STUN_ANSWER_S = 5.0
_UNAUTHORIZED = (401, 441)
_FORBIDDEN = 403
_QUOTA = (486, 508)


class _StunClient(asyncio.DatagramProtocol):
    """Sends one binding request."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._requests: dict[bytes, stun.Transaction] = {}

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        with contextlib.suppress(Exception):  # a malformed message is no answer
            message = stun.parse_message(data)
            if request := self._requests.get(message.transaction_id):
                request.response_received(message, addr)

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        assert self._transport is not None, "it is connected before it sends"
        self._transport.sendto(bytes(message))

    async def mapped_address(self, addr: tuple[str, int]) -> tuple[str, int]:
        """Our address as the server at `addr` sees it."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        transaction = stun.Transaction(request, addr, self)
        self._requests[request.transaction_id] = transaction
        response, _ = await transaction.run()
        mapped: tuple[str, int] = response.attributes["XOR-MAPPED-ADDRESS"]
        return mapped


class _Allocation(asyncio.DatagramProtocol):
    """A TURN allocation, from its making to its release."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.released.set()


async def check_stun(server: IceServer) -> Finding:
    """Whether a STUN server answers, how fast, and with which address of ours."""
    began_s = time.monotonic()
    loop = asyncio.get_running_loop()
    try:
        uri = parse_stun_turn_uri(server.urls)
        host, port = uri["host"], uri["port"]
        async with asyncio.timeout(STUN_ANSWER_S):
            transport, client = await loop.create_datagram_endpoint(
                _StunClient, remote_addr=(host, port)
            )
            with contextlib.closing(transport):
                own = transport.get_extra_info("sockname")
                mapped = await client.mapped_address((host, port))
    except TimeoutError:
        return fail(
            f"{server.urls} does not answer within {STUN_ANSWER_S:g} s",
            "a silent STUN server holds up every call: name another, allow UDP, or leave it out",
        )
    except (ValueError, KeyError) as error:
        return fail(f"{server.urls} cannot be asked: {error}", "write it as stun:host:port")
    except (OSError, stun.TransactionError) as error:
        return fail(f"{server.urls} cannot be asked: {error}", "name another with --stun")
    took_ms = (time.monotonic() - began_s) * 1000
    nat = "as we are" if mapped[0] == own[0] else f"behind a NAT ({own[0]} here)"
    found = f"{server.urls} answers in {took_ms:.0f} ms, sees us at {mapped[0]}, {nat}"
    if took_ms > GATHER_S * 1000:
        return warn(found, f"answers after {GATHER_S:g} s are left out of calls: name a nearer one")
    return ok(found)


async def check_turn(server: IceServer, *, minted: bool) -> Finding:
    """Whether a TURN server relays for us: makes an allocation and releases it.

    Args:
        minted: whether the credentials were made from a secret.
    """
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(STUN_ANSWER_S):
            relayed, mapped = await _allocate(server)
    except TimeoutError:
        return fail(
            f"{server.urls} does not answer within {STUN_ANSWER_S:g} s",
            "is it running, and are its port and protocol open? try ?transport=tcp",
        )
    except stun.TransactionFailed as error:
        return _refused(server, error, minted=minted)
    except ssl.SSLError as error:
        return fail(f"{server.urls}: its certificate is refused: {error}", "renew it, or use turn:")
    except (ValueError, KeyError) as error:
        return fail(f"{server.urls} cannot be asked: {error}", "write it as turn:host:port")
    except (OSError, stun.TransactionError) as error:
        return fail(f"{server.urls} cannot be asked: {error}", "is it running on that port?")
    took_ms = (time.monotonic() - began_s) * 1000
    return ok(f"{server.urls} relays at {relayed[0]} for us at {mapped[0]}, in {took_ms:.0f} ms")


async def check_turn_provider(provider: Provider) -> Finding:
    """Whether a provider of hosted TURN answers with credentials."""
    try:
        servers = await fetch(provider)
    except HostedTurnRefused as error:
        return fail(
            f"{provider.name} gives no TURN credentials: {error}", "check its key and token"
        )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return fail(
            f"{provider.name} cannot be asked for TURN credentials: {error or 'no answer'}",
            "calls go on without its relay; is this machine online, may it speak https?",
        )
    return ok(f"{provider.name} gives {len(servers)} STUN and TURN servers")


async def _allocate(server: IceServer) -> tuple[tuple[str, int], tuple[str, int]]:
    """The relayed address, and ours as the server sees it; the allocation is released."""
    uri = parse_stun_turn_uri(server.urls)
    transport, allocation = await turn.create_turn_endpoint(
        _Allocation,
        server_addr=(uri["host"], uri["port"]),
        username=server.username,
        password=server.credential,
        ssl=uri["scheme"] == "turns",
        transport=uri["transport"],
    )
    relayed = transport.get_extra_info("sockname")
    mapped = transport.get_extra_info("related_address")
    transport.close()
    await allocation.released.wait()
    return relayed, mapped


def _refused(server: IceServer, error: stun.TransactionFailed, *, minted: bool) -> Finding:
    code, reason = error.response.attributes.get("ERROR-CODE", (0, "it does not say why"))
    answer = f"{server.urls} answers {code} {reason}".rstrip()
    if code in _UNAUTHORIZED and server.username is None:
        return fail(f"{answer}: it wants a user", "set --turn-username and --turn-credential")
    if code in _UNAUTHORIZED and minted:
        return fail(
            f"{answer}: it does not know our credentials",
            "--turn-secret must be its static-auth-secret, and both clocks must be right",
        )
    if code in _UNAUTHORIZED:
        return fail(
            f"{answer}: user name {server.username!r} or its password is wrong",
            "check --turn-username and --turn-credential",
        )
    if code == _FORBIDDEN:
        return fail(f"{answer}: we may not relay", "allow this machine in its settings")
    if code in _QUOTA:
        return warn(f"{answer}: it is full", "raise its quota (coturn: user-quota, total-quota)")
    return fail(answer, "its log says more")
