"""A connection's UDP sockets, bound to ports of a given range.

aioice binds any free port. Its `Connection.get_component_candidates` takes the addresses to bind;
where a port range is set the sockets are bound here, in the same way, and that method is called
with no address, for the relayed candidates of its TURN server alone. Its sockets are kept in
`Connection._protocols`.
"""

import asyncio
import errno
import logging
import random
import socket
from collections.abc import Sequence
from typing import Any

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, server_reflexive_candidate

from slipstream_server.errors import PortsTaken
from slipstream_server.media_addressing import PortRange

logger = logging.getLogger(__name__)

_RETRY_S = 10.0
_RECEIVE_BYTES = 512 << 10  # a key frame's packets come at once


async def bind_all(
    connection: Any, component: int, addresses: Sequence[str], ports: PortRange
) -> list[StunProtocol]:
    """Bind a port of the range on every address; an address that cannot be bound is skipped.

    Args:
        connection: of aioice's.

    Raises:
        PortsTaken: if the range has no free port on any address.
    """
    is_taken, protocols = False, []
    for address in addresses:
        try:
            sock = _bound(address, ports)
        except OSError as error:
            is_taken = is_taken or error.errno == errno.EADDRINUSE
            logger.info("%s is left out: %s", address, error.strerror)
            continue
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: StunProtocol(connection), sock=sock
        )
        host, port = sock.getsockname()[:2]
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=port,
            type="host",
        )
        protocols.append(protocol)
    if is_taken and not protocols:
        raise PortsTaken(
            f"all {len(ports)} UDP ports of {ports} are taken; wait until a call ends, or start "
            "the server with a wider --media-ports",
            retry_after_s=_RETRY_S,
        )
    connection._protocols.extend(protocols)
    return protocols


async def reflexive(
    connection: Any, protocols: Sequence[StunProtocol], *, wait_s: float
) -> list[Candidate]:
    """Server reflexive candidates of the sockets, as far as STUN answers within `wait_s`."""
    if connection.stun_server is None:
        return []
    requests = [
        asyncio.create_task(
            server_reflexive_candidate(protocol, connection.stun_server), name="STUN request"
        )
        for protocol in protocols
        if ":" not in protocol.local_candidate.host
    ]
    if not requests:
        return []
    done, late = await asyncio.wait(requests, timeout=wait_s)
    for task in late:
        task.cancel()
    return [task.result()[0] for task in done if task.exception() is None]


def _bound(address: str, ports: PortRange) -> socket.socket:
    """A socket on the first free port after a random one. Raises OSError if there is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        for port in ports.each(random.randrange(len(ports))):
            try:
                sock.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return sock
        raise OSError(errno.EADDRINUSE, f"no port of {ports} is free there")
    except BaseException:
        sock.close()
        raise
