"""The ports that are reserved for media."""

import errno
import socket

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.finding import Finding, fail, ok, warn
from slipstream_server.errors import PortBusy
from slipstream_server.ice.media_port import MediaPort, own_addresses
from slipstream_server.ice.port_session import UDP


async def check_media_ports(config: ServerConfig) -> Finding:
    """How many of the ports of `media_ports` are free."""
    ports = config.media_addressing.ports
    assert ports is not None, "the check runs only where they are set"
    free = sum(_is_free(port) for port in range(ports.low, ports.high + 1))
    found = f"{free} of the {len(ports)} UDP ports {ports} are free"
    if not free:
        return fail(found, "stop what has them (a second server?), or choose other --media-ports")
    calls = config.max_streams + config.max_viewers
    if free < calls:
        return warn(found, f"each call takes one, and up to {calls} may come: widen --media-ports")
    return ok(found)


async def check_media_port(config: ServerConfig) -> Finding:
    """Whether the one port of `media_port` can be opened, for UDP and TCP."""
    addressing = config.media_addressing
    assert addressing.port is not None, "the check runs only where it is set"
    try:
        async with MediaPort(addressing.port, loopback=addressing.loopback) as port:
            hosts = port.hosts(UDP, own_addresses(loopback=addressing.loopback))
    except PortBusy as error:
        reason, _, advice = str(error).partition("; ")
        return fail(reason, advice)
    if not hosts:
        return fail(f"port {addressing.port} is at no address", "connect this machine to a network")
    return ok(f"UDP and TCP port {addressing.port} is free at {', '.join(hosts)}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("0.0.0.0", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
