"""A connection's UDP sockets, bound to any free ports or to those of a given range.

aioice binds any free port, and leaves out an address where no socket can be opened, whatever the
reason. Its `Connection.get_component_candidates` takes the addresses to bind; here the sockets are
bound in the same way, and that method is called with no address, for the relayed candidates of its
TURN server alone. Its sockets are kept in `Connection._protocols`.
"""

import asyncio
import errno
import logging
import random
import resource
import socket
from collections.abc import Sequence
from typing import Any

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, server_reflexive_candidate

from slipstream_server.errors import PortsTaken, SocketsTaken
from slipstream_server.media_addressing import PortRange

logger = logging.getLogger(__name__)

_RETRY_S = 10.0
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_RECEIVE_BYTES = 512 << 10  # a key frame's packets come at once


async def bind_all(
    connection: Any, component: int, addresses: Sequence[str], ports: PortRange | None
) -> list[StunProtocol]:
    """Bind a port on every address; an address that cannot be bound is skipped.

    Args:
        connection: of aioice's; closing it closes the sockets, also those of a bind that failed.
        ports: the range that the ports are of; any free ones if None.

    Raises:
        PortsTaken: if the range has no free port on any address.
        SocketsTaken: if the process may not open so many sockets.
    """
    is_taken, protocols = False, []
    for address in addresses:
        try:
            sock = _bound(address, ports)
        except OSError as error:
            if is_out_of_descriptors(error):
                raise sockets_taken(error) from error
            is_taken = is_taken or error.errno == errno.EADDRINUSE
            logger.info("%s is left out: %s", address, error.strerror)
            continue
        host, port = sock.getsockname()[:2]
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: StunProtocol(connection), sock=sock
        )
        connection._protocols.append(protocol)
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
    if is_taken and not protocols and ports is not None:
        raise PortsTaken(
            f"all {len(ports)} UDP ports of {ports} are taken; wait until a call ends, or start "
            "the server with a wider --media-ports",
            retry_after_s=_RETRY_S,
        )
    return protocols


def is_out_of_descriptors(error: OSError) -> bool:
    """Whether the process, or the system, has no descriptor left."""
    return error.errno in _OUT_OF_DESCRIPTORS


def sockets_taken(error: OSError) -> SocketsTaken:
    """The refusal of a call for which a socket or a file cannot be opened."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return SocketsTaken(
        f"the server cannot open what a call needs ({error.strerror}, this process may have {most} "
        "descriptors); wait until a call ends, or start the server with a higher limit (ulimit -n)",
        retry_after_s=_RETRY_S,
    )


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


def _bound(address: str, ports: PortRange | None) -> socket.socket:
    """A socket on any free port, or on the first one of the range after a random one. Raises
    OSError if there is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if ports is None:
            sock.bind((address, 0))
            return sock
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
