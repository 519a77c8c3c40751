"""A channel end over a socket pair that never blocks its event loop, for server processes.

The bytes are those of `channel.py`.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import msgspec

from slipstream_protocol.channel import ChannelClosed, read_socket
from slipstream_protocol.framing import Incoming, MessageParser, pack_message
from slipstream_protocol.messages import ToServer

UNSENT_MAX_BYTES = 4 << 20


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
        other: name of the other end, for messages.
    """

    def __init__(self, sock: socket.socket, incoming: Any, *, other: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._other = other
        self._loop = asyncio.get_running_loop()
        self._parser: MessageParser[Incoming] = MessageParser(incoming)
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
                data, descriptors = read_socket(self._sock)
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
        data = pack_message(message)
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
        """Close the channel; a waiting `receive` raises `ChannelClosed`."""
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
