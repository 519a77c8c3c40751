"""UDP sockets of one port: one for everybody, and one connected to each known address.

All are bound to the same port (SO_REUSEPORT). For what comes from its address the kernel prefers a
connected socket, and so a call has a receive queue of its own: a flood from elsewhere fills the
common one. That is refused where another program has the port.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

from slipstream_server.ice.port_table import TransportAddress

logger = logging.getLogger(__name__)

_DATAGRAM_MAX_BYTES = 2048  # larger ones are no packets of WebRTC, and are cut
_BATCH = 32  # datagrams that are read before others have their turn
_RECEIVE_BYTES = 4 << 20  # as far as the kernel allows

OnDatagram = Callable[[bytes, TransportAddress], None]


class SharedSocket:
    """A bound socket that is read on the running loop.

    Args:
        host: a local address.
        on_datagram: called with each datagram, and where it came from.
        remote: the only address that it is for; everybody if None.

    Raises:
        OSError: if it cannot be bound or connected.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_datagram: OnDatagram,
        *,
        remote: TransportAddress | None = None,
    ) -> None:
        if remote is None:
            bound(host, port, socket.SOCK_DGRAM, is_shared=False).close()
        self._on_datagram = on_datagram
        self._is_connected = remote is not None
        self._sock = bound(host, port, socket.SOCK_DGRAM)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            if remote is not None:
                self._sock.connect(remote)
        except OSError:
            self._sock.close()
            raise
        asyncio.get_running_loop().add_reader(self._sock, self._read)

    def send(self, data: bytes, address: TransportAddress) -> None:
        """Send a datagram; it is lost where the kernel does not take it."""
        try:
            if self._is_connected:
                self._sock.send(data)
            else:
                self._sock.sendto(data, address)
        except OSError as error:
            logger.debug("a datagram to %s is lost: %s", address, error)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                data, address = self._sock.recvfrom(_DATAGRAM_MAX_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP message about what was sent
                continue
            self._on_datagram(data, address[:2])


def bound(
    host: str, port: int, kind: socket.SocketKind, *, is_shared: bool = True
) -> socket.socket:
    """A socket on a port; shared, other sockets of this user may have the port too.

    Raises:
        OSError: if it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
