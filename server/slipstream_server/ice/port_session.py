"""One ICE connection's part of a port that many share: what it has in place of its own sockets.

aioice gives every connection sockets of its own, each behind a `StunProtocol`. Here those get a
transport that writes to the shared port, and are called with what comes there for them. With TCP
(RFC 6544) it is the other side that connects; its streams are kept by their address.

Private names of aioice's connection: `_local_username` is set, `_protocols` extended.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from slipstream_server.ice.port_table import TransportAddress
from slipstream_server.ice.stun_header import StunKind, is_stun, read_header

_STREAMS_MAX = 8  # of one call; a browser opens one for each address of ours
# RFC 6544, section 4.2: below UDP's 126, as in browsers, and "passive" is the second of three
_TCP_TYPE_PREFERENCE = 90
_TCP_LOCAL_PREFERENCE = 4 << 13 | 8191
UDP, TCP = "udp", "tcp"


class PacketStream(Protocol):
    """A TCP connection that carries packets."""

    def send(self, packet: bytes) -> None: ...
    def abort(self) -> None: ...


class SharedPort(Protocol):
    """The port, as its sessions use it."""

    @property
    def number(self) -> int: ...
    def hosts(self, transport: str, addresses: Sequence[str]) -> list[str]: ...
    def join(self, ufrag: str, session: "PortSession") -> None: ...
    def send(self, host: str, data: bytes, address: TransportAddress) -> None: ...
    def expect(self, transaction_id: bytes, session: "PortSession") -> None: ...
    def learn(self, host: str, address: TransportAddress, session: "PortSession") -> None: ...
    def leave(self, session: "PortSession") -> None: ...


class PortSession:
    """The sockets that one connection does not have.

    Args:
        connection: of aioice.
        port: that is shared.
        ufrag: the connection's user name, by which the port knows it.
    """

    def __init__(self, connection: Any, port: SharedPort, ufrag: str) -> None:
        self._connection = connection
        self._port = port
        self._endpoints: dict[tuple[str, str], StunProtocol] = {}
        self._streams: dict[TransportAddress, PacketStream] = {}
        self._ufrag = ufrag
        connection._local_username = ufrag

    def bind(self, component: int, addresses: Sequence[str]) -> list[Candidate]:
        """The candidates on these addresses, as far as the port is open there."""
        candidates = []
        for transport in (UDP, TCP):
            for host in self._port.hosts(transport, addresses):
                if not self._endpoints:
                    self._port.join(self._ufrag, self)
                candidate = _candidate(transport, component, host, self._port.number)
                protocol = StunProtocol(self._connection)
                protocol.local_candidate = candidate
                protocol.connection_made(_SharedTransport(self, protocol, transport, host))
                self._endpoints[transport, host] = protocol
                self._connection._protocols.append(protocol)
                candidates.append(candidate)
        return candidates

    def udp_protocols(self) -> list[StunProtocol]:
        """Those that a STUN server can be asked with."""
        return [one for (transport, _), one in self._endpoints.items() if transport == UDP]

    def deliver(self, transport: str, host: str, data: bytes, address: TransportAddress) -> None:
        """A packet has come for it, to this address of ours."""
        protocol = self._endpoints.get((transport, host))
        if protocol is not None:
            protocol.datagram_received(data, address)

    def add_stream(self, address: TransportAddress, stream: PacketStream) -> None:
        """The other side has connected; the stream that is the oldest of too many is ended."""
        if not self._endpoints:
            stream.abort()
            return
        self._streams[address] = stream
        if len(self._streams) > _STREAMS_MAX:
            self._streams.pop(next(iter(self._streams))).abort()

    def remove_stream(self, address: TransportAddress, stream: PacketStream) -> None:
        """The other side has closed it, or it has failed."""
        if self._streams.get(address) is stream:
            del self._streams[address]

    def send(self, transport: str, host: str, data: bytes, address: TransportAddress) -> None:
        """Send a packet from this address of ours."""
        if transport == TCP:
            stream = self._streams.get(address)
            if stream is not None:
                stream.send(data)
            return
        header = read_header(data) if is_stun(data) else None
        if header is not None and header.kind is StunKind.REQUEST:
            self._port.expect(header.transaction_id, self)
        elif header is not None and header.kind is StunKind.SUCCESS:
            # aioice answers so where it has authenticated a check, and only there
            self._port.learn(host, address, self)
        self._port.send(host, data, address)

    def unbind(self, transport: str, host: str) -> None:
        """aioice has closed this one; with the last, the port forgets the call."""
        self._endpoints.pop((transport, host), None)
        if not self._endpoints:
            self._port.leave(self)
            for stream in list(self._streams.values()):
                stream.abort()


class _SharedTransport(asyncio.DatagramTransport):
    """Stands in for the transport of a socket."""

    def __init__(
        self, session: PortSession, protocol: StunProtocol, transport: str, host: str
    ) -> None:
        super().__init__()
        self._session = session
        self._protocol = protocol
        self._where = (transport, host)
        self._is_closing = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not self._is_closing:
            self._session.send(*self._where, bytes(data), (addr[0], addr[1]))

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._session.unbind(*self._where)
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._is_closing


def _candidate(transport: str, component: int, host: str, port: int) -> Candidate:
    priority = candidate_priority(component, "host")
    if transport == TCP:
        priority = _TCP_TYPE_PREFERENCE << 24 | _TCP_LOCAL_PREFERENCE << 8 | (256 - component)
    return Candidate(
        foundation=candidate_foundation("host", transport, host),
        component=component,
        transport=transport,
        priority=priority,
        host=host,
        port=port,
        type="host",
        tcptype="passive" if transport == TCP else None,
    )
