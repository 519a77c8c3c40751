"""What callers reach the media by: the ports that were set aside, and relays of a provider."""

import errno
import socket

import aiohttp

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.finding import Finding, fail, ok, warn
from slipstream_server.ice.turn_providers import HostedTurnRefused, Provider, fetch


async def check_media_ports(config: ServerConfig) -> Finding:
    """How many of the ports set aside for media can be had."""
    ports = config.media_addressing.ports
    assert ports is not None, "asked only where there are some"
    free = sum(_is_free(port) for port in range(ports.low, ports.high + 1))
    found = f"{free} of the {len(ports)} UDP ports {ports} are free"
    if not free:
        return fail(found, "stop what has them (a second server?), or choose other --media-ports")
    calls = config.max_streams + config.max_viewers
    if free < calls:
        return warn(found, f"each call takes one, and up to {calls} may come: widen --media-ports")
    return ok(found)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("0.0.0.0", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


async def check_hosted(provider: Provider) -> Finding:
    """Whether a provider gives credentials for its relays."""
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
