"""One port for the media of all calls: UDP, and TCP on the same number.

`PortTable` says whose a datagram is; here are the sockets. A datagram comes to the socket of
everybody at one of this machine's addresses, is found to be a check of some call, and is given to
that. With the call's answer to it a socket connected to the sender is opened, which gets what comes
from there from then on (`shared_socket.py`).
"""

import asyncio
import errno
import functools
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from aioice.ice import get_host_addresses
from aioice.utils import random_string
from slipstream_protocol.clock import now_ns

from slipstream_server.errors import PortBusy
from slipstream_server.ice.port_session import UDP, PortSession
from slipstream_server.ice.port_table import PortTable, TransportAddress
from slipstream_server.ice.shared_socket import OnDatagram, SharedSocket
from slipstream_server.ice.tcp_streams import TcpListener, TcpStream, tune_stream

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_UFRAG_LENGTH = 16  # aioice's own have four, of which strangers find one by trying


class MediaPort:
    """The port, open within `async with`.

    Args:
        number: of the port.
        loopback: whether it is opened on 127.0.0.1 too.
    """

    def __init__(self, number: int, *, loopback: bool) -> None:
        self._number = number
        self._loopback = loopback
        self._table: PortTable[PortSession] = PortTable()
        self._sockets: dict[str, SharedSocket] = {}
        self._listeners: dict[str, TcpListener] = {}
        self._connected: dict[tuple[str, TransportAddress], SharedSocket] = {}

    async def __aenter__(self) -> Self:
        """Open the port at every address of this machine.

        Raises:
            PortBusy: if another program has it.
        """
        try:
            for host in own_addresses(loopback=self._loopback):
                self._open(host, is_start=True)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for sock in (*self._sockets.values(), *self._connected.values()):
            sock.close()
        for listener in self._listeners.values():
            await listener.close()

    @property
    def number(self) -> int:
        """Of the port."""
        return self._number

    @property
    def drops(self) -> Counter[str]:
        """Datagrams and streams of nobody so far, by cause."""
        refused = sum(listener.refused for listener in self._listeners.values())
        return self._table.drops + Counter(refused_stream=refused)

    def new_session(self, connection: Any) -> PortSession:
        """The part of one connection of aioice's, whose user name becomes one of this port's."""
        return PortSession(connection, self, random_string(_UFRAG_LENGTH))

    # ---- as sessions use it

    def hosts(self, transport: str, addresses: Sequence[str]) -> list[str]:
        """Those of this machine's addresses at which the port is open."""
        for host in addresses:  # it may have got one since the start
            if host not in self._sockets:
                self._open(host)
        found = self._sockets if transport == UDP else self._listeners
        return [host for host in addresses if host in found]

    def join(self, ufrag: str, session: PortSession) -> None:
        """A call has its first candidate here."""
        self._table.add(ufrag, session)

    def send(self, host: str, data: bytes, address: TransportAddress) -> None:
        """Send a datagram from this address of ours."""
        sock = self._connected.get((host, address)) or self._sockets.get(host)
        if sock is not None:
            sock.send(data, address)

    def expect(self, transaction_id: bytes, session: PortSession) -> None:
        """A call has sent a check."""
        self._table.expect(transaction_id, session)

    def learn(self, host: str, address: TransportAddress, session: PortSession) -> None:
        """A call has authenticated a check from this address."""
        forgotten = self._table.learn(address, session, now_ns())
        if forgotten is None:
            return
        self._disconnect(forgotten)
        if (host, address) in self._connected:
            return
        try:
            self._connected[host, address] = SharedSocket(
                host, self._number, self._receiver(host), remote=address
            )
        except OSError as error:  # the common socket does it too
            logger.info("%s gets no socket of its own: %s", address[0], error.strerror)

    def leave(self, session: PortSession) -> None:
        """A call has closed all that it had here."""
        self._disconnect(self._table.remove(session))

    # ---- what comes

    def _receiver(self, host: str) -> OnDatagram:
        return functools.partial(self._on_datagram, host)

    def _on_datagram(self, host: str, data: bytes, address: TransportAddress) -> None:
        found = self._table.find(data, address, now_ns())
        if found is not None:
            found.deliver(UDP, host, data, address)

    async def _place(
        self,
        sock: socket.socket,
        packet: bytes,
        received: bytes,
        host: str,
        address: TransportAddress,
    ) -> None:
        session = self._table.find_called(packet)
        if session is None:
            sock.close()
            return
        tune_stream(sock)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: TcpStream(session, host, address, received), sock
        )

    # ---- sockets

    def _open(self, host: str, *, is_start: bool = False) -> None:
        """Open UDP and TCP at one address, or leave that out.

        Raises:
            PortBusy: if another program has it at the start.
        """
        try:
            sock = SharedSocket(host, self._number, self._receiver(host))
            try:
                listener = TcpListener(host, self._number, self._place)
            except OSError:
                sock.close()
                raise
        except OSError as error:
            if is_start and error.errno == errno.EADDRINUSE:
                raise PortBusy(
                    f"media port {self._number} cannot be opened at {host}: another program has "
                    "it; stop that program, or choose another --media-port"
                ) from error
            logger.info("%s is left out: %s", host, error.strerror)
        else:
            self._sockets[host], self._listeners[host] = sock, listener

    def _disconnect(self, addresses: Sequence[TransportAddress]) -> None:
        for host in self._sockets:
            for address in addresses:
                if sock := self._connected.pop((host, address), None):
                    sock.close()


def own_addresses(*, loopback: bool) -> list[str]:
    """This machine's addresses that calls are offered."""
    addresses = get_host_addresses(use_ipv4=True, use_ipv6=True)
    return [LOOPBACK, *addresses] if loopback else addresses
