"""ICE candidate gathering: which local addresses a connection offers, and how long it may take.

aiortc leaves out 127.0.0.1, binds any free port, and waits up to five seconds for a silent STUN
server before it answers. All three are decided in one public method of aioice's `Connection`, which
is wrapped on the connections of one peer, after the offer is set and before the answer is made. No
module is patched.
"""

import asyncio
import copy
import functools
from collections.abc import Iterator
from typing import Any

from aioice import Candidate
from aioice.candidate import candidate_foundation
from aiortc import RTCPeerConnection

from slipstream_server.ice.check_limits import CheckLimits
from slipstream_server.ice.media_port import LOOPBACK, MediaPort
from slipstream_server.ice.packet_filter import PacketFilter
from slipstream_server.ice.port_session import PortSession
from slipstream_server.ice.remote_addresses import CheckRules
from slipstream_server.ice.udp_ports import bind_all, reflexive
from slipstream_server.media_addressing import MediaAddressing

GATHER_S = 0.5  # a STUN or TURN server that needs longer is left out of the answer
_LOCAL_PREFERENCE_BITS = 8  # where it begins in a priority (RFC 8445, section 5.1.2.1)


def bound_gathering(
    pc: RTCPeerConnection,
    *,
    media_addressing: MediaAddressing,
    media_port: MediaPort | None = None,
    wait_s: float = GATHER_S,
    is_lite: bool = False,
) -> None:
    """Make `pc` gather within `wait_s`, on the ports and with the addresses of `media_addressing`.

    A `PacketFilter` is put before its sockets, and `CheckLimits` before its checks. Call it between
    setting the remote offer and setting the local answer, which then raises PortsTaken or
    SocketsTaken where none is left.

    Args:
        media_port: that its media share with other calls'; it has sockets of its own if None.
        is_lite: whether it is an ICE lite agent, which the answer must say; it asks no STUN server
            where it is, and has no relay.
    """
    for connection in _connections(pc):
        if is_lite:
            connection.stun_server = connection.turn_server = None
        connection.get_component_candidates = functools.partial(
            _gather,
            connection,
            connection.get_component_candidates,
            PacketFilter(connection),
            shared=None if media_port is None else media_port.new_session(connection),
            media_addressing=media_addressing,
            wait_s=wait_s,
            is_lite=is_lite,
        )


async def _gather(
    connection: Any,
    gather: Any,
    packet_filter: PacketFilter,
    component: int,
    addresses: list[str],
    *,
    shared: PortSession | None,
    media_addressing: MediaAddressing,
    wait_s: float,
    is_lite: bool,
) -> list[Candidate]:
    rules = CheckRules.of_machine(addresses, allow_private=media_addressing.checks_private)
    CheckLimits(connection, rules, is_lite=is_lite).install()
    if media_addressing.loopback and LOOPBACK not in addresses:
        addresses = [LOOPBACK, *addresses]
    if shared is not None:
        own = shared.bind(component, addresses)
        protocols = shared.udp_protocols()
    else:
        protocols = await bind_all(connection, component, addresses, media_addressing.ports)
        own = [protocol.local_candidate for protocol in protocols]
    mapped, others = await asyncio.gather(
        reflexive(connection, protocols, wait_s=wait_s),
        gather(component=component, addresses=[], timeout=wait_s),
    )
    packet_filter.install()
    return [
        advertised
        for candidate in (*own, *mapped, *others)
        for advertised in _advertised(candidate, media_addressing)
    ]


def _advertised(candidate: Candidate, media_addressing: MediaAddressing) -> Iterator[Candidate]:
    """A copy for each address that callers get, the later ones with less priority: a caller in the
    same network is to use the first. The socket behind them keeps its own."""
    if candidate.type != "host":
        yield candidate
        return
    for index, host in enumerate(media_addressing.advertised(candidate.host)):
        advertised = copy.copy(candidate)
        if index:
            advertised.host = host
            advertised.foundation = candidate_foundation(
                "host", candidate.transport, f"{host} {candidate.host}"
            )
            advertised.priority = candidate.priority - (index << _LOCAL_PREFERENCE_BITS)
        yield advertised


def _connections(pc: RTCPeerConnection) -> Iterator[Any]:
    """The aioice connections of `pc`, each once; typed Any, as they are private to aiortc."""
    transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        transports.append(pc.sctp.transport)
    seen = {}
    for transport in transports:
        gatherer = transport.transport.iceGatherer
        seen[id(gatherer)] = gatherer
    for gatherer in seen.values():
        yield gatherer._connection
