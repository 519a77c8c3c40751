"""The STUN and TURN servers of a call, as configured, with credentials for one caller."""

import base64
import hashlib
import hmac

import msgspec
from aiortc import RTCConfiguration, RTCIceServer

from slipstream_server.config import ServerConfig

_CREDENTIAL_LIFE_S = 3600


class IceServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a browser's `iceServers`."""

    urls: str
    username: str | None = None
    credential: str | None = None


def ice_servers(config: ServerConfig, *, name: str, now_s: int) -> tuple[IceServer, ...]:
    """The STUN and TURN servers that both ends may use, as configured.

    With `turn_secret` the TURN credentials are minted for this caller and expire after an hour.

    Args:
        name: of the session or caller, for the TURN server's log.
        now_s: the wall clock, in seconds since 1970.

    Source: draft-uberti-behave-turn-rest-00, as coturn's `use-auth-secret` does it.
    """
    servers = []
    if config.stun:
        servers.append(IceServer(urls=config.stun))
    if config.turn and config.turn_secret:
        username = f"{now_s + _CREDENTIAL_LIFE_S}:{name}"
        digest = hmac.digest(config.turn_secret.encode(), username.encode(), hashlib.sha1)
        credential = base64.b64encode(digest).decode()
        servers.append(IceServer(urls=config.turn, username=username, credential=credential))
    elif config.turn:
        servers.append(
            IceServer(
                urls=config.turn,
                username=config.turn_username or None,
                credential=config.turn_credential or None,
            )
        )
    return tuple(servers)


def rtc_configuration(servers: tuple[IceServer, ...]) -> RTCConfiguration:
    """The same servers for aiortc; with none an empty list, as None means a public STUN server."""
    return RTCConfiguration(
        iceServers=[
            RTCIceServer(urls=server.urls, username=server.username, credential=server.credential)
            for server in servers
        ]
    )
