"""What the probe asks of a server over HTTP: its ICE servers, the answer to an offer, the end."""

import asyncio
import contextlib
import ipaddress
import ssl
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import Fingerprint
from aiortc import RTCPeerConnection, RTCSessionDescription
from slipstream_protocol.clock import now_ns

from slipstream_server.errors import SlipstreamError
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.probe.record import CallRecord

_OFFER = "/api/v1/webrtc/offer"
_ICE_SERVERS = "/api/v1/webrtc/ice-servers"
_HANG_UP_S = 2.0
_ANSWER_MAX_BYTES = 1 << 16


class CallFailed(SlipstreamError):
    """The call could not be made, or was ended by the server; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """The server to call, and how.

    Args:
        url: of its page, without a query.
        token: that opens it; empty for none.
        tls: what to trust: the system's authorities (True), any certificate (False), or one.
        relay_only: whether media must go through the server's TURN server.
    """

    url: str
    token: str = ""
    tls: bool | Fingerprint | ssl.SSLContext = True
    relay_only: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def is_on_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return host == "localhost"


class _IceServers(msgspec.Struct):
    iceServers: tuple[IceServer, ...] = ()


class _Answer(msgspec.Struct):
    """What is read of the answer; a bare echo has no sessions."""

    sdp: str
    type: str
    sessionId: str | None = None


class _Refusal(msgspec.Struct):
    error: str = ""


_Body = TypeVar("_Body", _IceServers, _Answer)


async def offered_ice_servers(
    http: aiohttp.ClientSession, target: ProbeTarget
) -> tuple[IceServer, ...]:
    """Those that the server tells its callers of; none where it knows no such question.

    Raises:
        CallFailed: if it refuses, does not answer, or has no TURN server for a call that is to go
            through one.
    """
    status, body = await _request(http, "GET", target.url + _ICE_SERVERS)
    servers = () if status == 404 else _decode(body, _IceServers, status, target).iceServers
    if target.relay_only and not any(
        url.startswith(("turn:", "turns:")) for server in servers for url in server.urls
    ):
        raise CallFailed(
            f"{target.url} tells its callers of no TURN server, and the call is to go through one: "
            "start it with one, or call without --relay"
        )
    return servers


async def call_by_offer(
    http: aiohttp.ClientSession,
    target: ProbeTarget,
    peer: RTCPeerConnection,
    record: CallRecord,
    *,
    fps: int,
) -> str | None:
    """Offer what `peer` has to offer, and give it the answer; returns the session's address.

    Raises:
        CallFailed: if the server refuses, or does not answer.
    """
    record.offered_ns = now_ns()
    local = peer.localDescription
    offer = {"sdp": local.sdp, "type": local.type, "frameRate": fps}
    status, body = await _request(http, "POST", target.url + _OFFER, json=offer)
    answer = _decode(body, _Answer, status, target)
    record.answered_ns = now_ns()
    await peer.setRemoteDescription(RTCSessionDescription(answer.sdp, answer.type))
    return answer.sessionId


async def _request(
    http: aiohttp.ClientSession, method: str, url: str, *, json: object = None
) -> tuple[int, bytes]:
    try:
        async with http.request(method, url, json=json) as response:
            return response.status, await response.content.read(_ANSWER_MAX_BYTES)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CallFailed(f"{url} does not answer: {error or type(error).__name__}") from error


def _decode(body: bytes, kind: type[_Body], status: int, target: ProbeTarget) -> _Body:
    if status == 200:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(body, type=kind)
        raise CallFailed(f"{target.url} answers what is no Slipstream's: give its page's address")
    try:
        reason = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.DecodeError:
        reason = body[:200].decode(errors="replace")
    raise CallFailed(f"{target.url} refuses the call with {status}: {reason}")


async def hang_up(http: aiohttp.ClientSession, target: ProbeTarget, session: str) -> None:
    """End a call, as far as that is possible."""
    url = f"{target.url}{_OFFER}/{session}"
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_HANG_UP_S), http.delete(url):
            pass
