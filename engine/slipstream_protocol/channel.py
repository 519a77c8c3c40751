"""Messages over a socket pair: a blocking end for the engine, an asyncio end for the server's
processes.

Each message is a little-endian uint32 length and that many bytes of MessagePack. A stream socket
carries it the same way on every Unix, and file descriptors ride along (SCM_RIGHTS). The socket's
order is the order of
events, and its end of file is the death notice: the kernel sends it however the other process died.
"""

import array
import asyncio
import contextlib
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from slipstream_protocol.messages import Message, ToEngine, ToServer

MESSAGE_MAX_BYTES = 1 << 20
UNSENT_MAX_BYTES = 4 << 20

_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 16
_MAX_DESCRIPTORS = 8

Incoming = TypeVar("Incoming")


class ChannelClosed(Exception):
    """The other process is gone, or can no longer be spoken to; the text says which."""


class ChannelError(Exception):
    """What arrived is not a message of this protocol."""


def open_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, one for each process."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def _frame(message: msgspec.Struct) -> bytes:
    payload = msgspec.msgpack.encode(message)
    if len(payload) > MESSAGE_MAX_BYTES:
        raise ChannelError(
            f"{type(message).__name__} is {len(payload)} bytes, the most is {MESSAGE_MAX_BYTES}"
        )
    return _LENGTH.pack(len(payload)) + payload


class _Parser(Generic[Incoming]):
    """Bytes and descriptors in, messages out; knows no socket."""

    def __init__(self, incoming: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._bytes = bytearray()
        self._descriptors: list[int] = []

    def feed(self, data: bytes, descriptors: Sequence[int]) -> None:
        self._bytes += data
        self._descriptors += descriptors

    def next(self) -> Incoming | None:
        """The next whole message, or None until more bytes come.

        Raises:
            ChannelError: if the bytes cannot be a message.
        """
        if len(self._bytes) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes)
        if length > MESSAGE_MAX_BYTES:
            raise ChannelError(f"message of {length} bytes announced, at most {MESSAGE_MAX_BYTES}")
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        payload = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        try:
            return self._decoder.decode(payload)  # type: ignore[no-any-return]  # typed by the caller
        except msgspec.MsgspecError as error:
            raise ChannelError(f"not a message of this protocol: {error}") from error

    def take_descriptors(self, count: int) -> list[int]:
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken

    def close(self) -> None:
        for descriptor in self.take_descriptors(len(self._descriptors)):
            os.close(descriptor)


def _read(sock: socket.socket) -> tuple[bytes, list[int]]:
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


class Channel:
    """The engine's end: blocks, and ends when the server's end closes.

    Args:
        sock: the inherited socket; owned from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._parser: _Parser[ToEngine] = _Parser(ToEngine)

    def receive(self, timeout_s: float | None = None) -> ToEngine | None:
        """The next message, or None when `timeout_s` has passed without one.

        Raises:
            ChannelClosed: if the server is gone.
            ChannelError: if what arrived is not a message.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (message := self._parser.next()) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self._sock], [], [], left)
            if not readable:
                return None
            data, descriptors = _read(self._sock)
            if not data:
                raise ChannelClosed("the server has closed the channel")
            self._parser.feed(data, descriptors)
        return message

    def __iter__(self) -> Iterator[ToEngine]:
        """Every message until the server hangs up."""
        with contextlib.suppress(ChannelClosed):
            while (message := self.receive()) is not None:
                yield message

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send `message` and copies of `descriptors`; blocks while the server's buffer is full.

        Raises:
            ChannelClosed: if the server is gone.
        """
        data = _frame(message)
        try:
            sent = socket.send_fds(self._sock, [data], descriptors) if descriptors else 0
            self._sock.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed("the server has closed the channel") from error

    def close(self) -> None:
        self._parser.close()
        self._sock.close()


@dataclass(frozen=True, slots=True)
class _Unsent:
    """Bytes that wait, and copies of the descriptors that go with the first of them."""

    data: bytes
    descriptors: tuple[int, ...]


class AsyncChannel(Generic[Incoming]):
    """An end in an asyncio process: never blocks the loop.

    One task at a time may wait in `receive`.

    Args:
        sock: this process's end of the pair; owned from now on.
        incoming: the type, or union of types, of what the other end sends.
        other: who that is, for messages.
    """

    def __init__(self, sock: socket.socket, incoming: Any, *, other: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._other = other
        self._loop = asyncio.get_running_loop()
        self._parser: _Parser[Incoming] = _Parser(incoming)
        self._unsent: deque[_Unsent] = deque()
        self._unsent_bytes = 0
        self._closed: str | None = None
        self._readable = asyncio.Event()
        self._loop.add_reader(sock, self._readable.set)

    async def receive(self) -> Incoming:
        """The next message.

        Raises:
            ChannelClosed: if the other end is gone, or the channel was closed here.
            ChannelError: if what arrived is not a message.
        """
        while (message := self._parser.next()) is None:
            if self._closed is not None:
                raise ChannelClosed(self._closed)
            self._readable.clear()
            try:
                data, descriptors = _read(self._sock)
            except BlockingIOError:
                await self._readable.wait()
                continue
            if not data:
                self._shut(f"{self._other} has closed the channel")
                continue
            self._parser.feed(data, descriptors)
        return message

    def take_descriptors(self, count: int) -> list[int]:
        """The first of the descriptors received so far, at most `count`; the caller owns them from
        now on."""
        return self._parser.take_descriptors(count)

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send `message` and copies of `descriptors` now, or as soon as the other end reads again.

        Raises:
            ChannelClosed: if the other end is gone, or has left `UNSENT_MAX_BYTES` unread.
        """
        if self._closed is not None:
            raise ChannelClosed(self._closed)
        data = _frame(message)
        if self._unsent_bytes + len(data) > UNSENT_MAX_BYTES:
            raise ChannelClosed(
                f"{self._other} has left {self._unsent_bytes} bytes unread, "
                f"at most {UNSENT_MAX_BYTES}"
            )
        self._unsent.append(_Unsent(data, tuple(map(os.dup, descriptors))))
        self._unsent_bytes += len(data)
        if len(self._unsent) == 1:
            self._flush()

    def close(self) -> None:
        """Hang up; a waiting `receive` raises `ChannelClosed`."""
        self._shut("the channel was closed")
        self._parser.close()

    def _flush(self) -> None:
        while self._unsent:
            first = self._unsent[0]
            try:
                sent = self._put(first)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except ConnectionError:
                self._shut(f"{self._other} has closed the channel")
                return
            self._unsent_bytes -= sent
            if sent < len(first.data):
                self._unsent[0] = _Unsent(first.data[sent:], ())
            else:
                self._unsent.popleft()
        self._loop.remove_writer(self._sock)

    def _put(self, first: _Unsent) -> int:
        if not first.descriptors:
            return self._sock.send(first.data)
        sent = socket.send_fds(self._sock, [first.data], first.descriptors)
        for descriptor in first.descriptors:
            os.close(descriptor)
        return sent

    def _shut(self, reason: str) -> None:
        if self._closed is not None:
            return
        self._closed = reason
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._readable.set()
        while self._unsent:
            for descriptor in self._unsent.popleft().descriptors:
                os.close(descriptor)


def to_engine(sock: socket.socket) -> AsyncChannel[ToServer]:
    """The server's end of a channel to an engine."""
    return AsyncChannel(sock, ToServer, other="the engine")
