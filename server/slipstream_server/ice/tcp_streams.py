"""ICE over TCP (RFC 6544): the streams that callers open to the media port, "passive" for us.

A stream belongs to nobody until its first packet is a check that names a call. It has five seconds
for that, there are few such streams, and fewer of one address.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import cast

from slipstream_server.ice.port_session import TCP, PortSession
from slipstream_server.ice.port_table import TransportAddress
from slipstream_server.ice.shared_socket import bound
from slipstream_server.ice.stream_frames import PACKET_MAX_BYTES, BadFrame, FrameReader, framed

logger = logging.getLogger(__name__)

_BACKLOG = 64
_ACCEPT_BATCH = 16
_NAMELESS_S = 5.0
_NAMELESS_MAX = 64
_NAMELESS_PER_ADDRESS_MAX = 8
_OUT_OF_DESCRIPTORS_S = 1.0
_UNSENT_MAX_BYTES = 128 << 10  # more is late: packets are lost then, as they are with UDP
_UNSENT_IN_KERNEL_BYTES = 64 << 10

# takes over a stream, with what has come on it, whose first packet is given
PlaceStream = Callable[[socket.socket, bytes, bytes, str, TransportAddress], Awaitable[None]]


class TcpListener:
    """Accepts streams at one address.

    Args:
        host: a local address.
        place: finds the call of a stream; it closes the socket where there is none.

    Raises:
        OSError: if the port cannot be bound.
    """

    def __init__(self, host: str, port: int, place: PlaceStream) -> None:
        self.refused = 0
        self._host = host
        self._place = place
        self._nameless: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sock = bound(host, port, socket.SOCK_STREAM, is_shared=False)
        self._sock.listen(_BACKLOG)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._accept)

    async def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptors are left: it would be called again at once
                logger.warning("no stream can be accepted: %s", error.strerror)
                self._loop.remove_reader(self._sock)
                self._loop.call_later(_OUT_OF_DESCRIPTORS_S, self._accept_again)
                return
            client = address[0]
            if (
                self._nameless.total() >= _NAMELESS_MAX
                or self._nameless[client] >= _NAMELESS_PER_ADDRESS_MAX
            ):
                self.refused += 1
                sock.close()
                continue
            sock.setblocking(False)
            self._nameless[client] += 1
            task = asyncio.create_task(self._identify(sock, address[:2]), name="media stream")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _accept_again(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    async def _identify(self, sock: socket.socket, address: TransportAddress) -> None:
        try:
            async with asyncio.timeout(_NAMELESS_S):
                received = b""
                while not (packets := FrameReader().feed(received)):
                    data = await self._loop.sock_recv(sock, PACKET_MAX_BYTES)
                    if not data:
                        raise BadFrame("it was closed")
                    received += data
            await self._place(sock, packets[0], received, self._host, address)
        except (TimeoutError, BadFrame, OSError) as error:
            logger.debug("a stream of %s is no call's: %s", address[0], error)
            sock.close()
        except BaseException:
            sock.close()
            raise
        finally:
            self._nameless -= Counter([address[0]])


class TcpStream(asyncio.Protocol):
    """A stream of one call.

    Args:
        session: whose it is.
        host: our address.
        address: the other side's.
        received: what has come on it so far.
    """

    def __init__(
        self, session: PortSession, host: str, address: TransportAddress, received: bytes
    ) -> None:
        self._session = session
        self._host = host
        self._address = address
        self._received = received
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._session.add_stream(self._address, self)
        self.data_received(self._received)

    def data_received(self, data: bytes) -> None:
        try:
            for packet in self._reader.feed(data):
                self._session.deliver(TCP, self._host, packet, self._address)
        except BadFrame as error:
            logger.info("the stream of %s is ended: %s", self._address[0], error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.remove_stream(self._address, self)

    def send(self, packet: bytes) -> None:
        """Send a packet, unless those before it wait already."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() < _UNSENT_MAX_BYTES:
            transport.write(framed(packet))

    def abort(self) -> None:
        """End the stream."""
        if self._transport is not None:
            self._transport.abort()


def tune_stream(sock: socket.socket) -> None:
    """Have packets sent at once, and little of them kept in the kernel, where they get old."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_IN_KERNEL_BYTES)
