"""Blocking channel ends over a socket pair, for the engine and for programs that drive one.

The socket's order is the order of events, and its end of file is the death notice: the kernel sends
it however the other process died. A stream socket carries file descriptors (SCM_RIGHTS) the same
way on every Unix. The server's own end never blocks: `async_channel.py`.
"""

import array
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, Generic

import msgspec

from slipstream_protocol.framing import Incoming, MessageParser, pack_message
from slipstream_protocol.messages import ToEngine, ToServer

_READ_BYTES = 1 << 16
_MAX_DESCRIPTORS = 8


class ChannelClosed(Exception):
    """The other process is gone, or does not read any more; the text says which."""


def open_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, one for each process."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def read_socket(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One read with whatever descriptors came along; empty bytes mean end of file."""
    space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
    try:
        data, ancillary, _flags, _address = sock.recvmsg(_READ_BYTES, space)
    except ConnectionError:  # a reset is an end of file with unread data left behind
        return b"", []
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, list(descriptors)


class Channel(Generic[Incoming]):
    """An end that blocks, and ends when the other end closes.

    Args:
        sock: this process's end of the pair; owned from now on.
        incoming: the type, or union of types, of what the other end sends.
        other: name of the other end, for messages.
    """

    def __init__(self, sock: socket.socket, incoming: Any, *, other: str) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._other = other
        self._parser: MessageParser[Incoming] = MessageParser(incoming)

    def fileno(self) -> int:
        """Its descriptor, to wait for it among others."""
        return self._sock.fileno()

    def receive(
        self, timeout_s: float | None = None, *, or_readable: Sequence[int] = ()
    ) -> Incoming | None:
        """The next message, or None when `timeout_s` has passed without one.

        Args:
            or_readable: descriptors; None is also returned as soon as one can be read from.

        Raises:
            ChannelClosed: if the other end is gone.
            ChannelError: if what arrived is not a message.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (message := self._parser.next()) is None:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            readable, _, _ = select.select([self.fileno(), *or_readable], [], [], left_s)
            if self.fileno() not in readable:
                return None
            self._take_in()
        return message

    def read(self) -> Iterator[Incoming]:
        """All messages that are here; only where none is, they are waited for.

        Raises:
            ChannelClosed, ChannelError: as `receive`.
        """
        if (message := self._parser.next()) is None:
            self._take_in()
            message = self._parser.next()
        while message is not None:
            yield message
            message = self._parser.next()

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send `message` and copies of `descriptors`; blocks while the socket's buffer is full.

        Raises:
            ChannelClosed: if the other end is gone.
            ChannelError: if the message is too long.
        """
        self._send(pack_message(message), descriptors)

    def send_packed(self, data: bytes) -> None:
        """Send what `pack_message` has made, of any number of messages; see `send`."""
        self._send(data, ())

    def _take_in(self) -> None:
        data, descriptors = read_socket(self._sock)
        if not data:
            raise ChannelClosed(f"{self._other} has closed the channel")
        self._parser.feed(data, descriptors)

    def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        try:
            sent = socket.send_fds(self._sock, [data], descriptors) if descriptors else 0
            self._sock.sendall(data[sent:] if sent else data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed(f"{self._other} has closed the channel") from error

    def close(self) -> None:
        """Close the socket, and the descriptors that came with messages."""
        self._parser.close()
        self._sock.close()


def engine_end(sock: socket.socket) -> Channel[ToEngine]:
    """The engine's end of a channel to the server."""
    return Channel(sock, ToEngine, other="the server")


def server_end(sock: socket.socket) -> Channel[ToServer]:
    """The server's end of a channel to an engine, for programs without an event loop."""
    return Channel(sock, ToServer, other="the engine")
