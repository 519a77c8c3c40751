"""The server's end of a channel to an engine, which never blocks the event loop.

The bytes are those of `channel.py`.
"""

import asyncio
import socket
from collections import deque

from slipstream_protocol.channel import ChannelClosed, read_socket
from slipstream_protocol.framing import MessageParser, pack_message
from slipstream_protocol.messages import ToEngine, ToServer

UNSENT_MAX_BYTES = 4 << 20
_ENGINE_HAS_CLOSED = "the engine has closed the channel"


class AsyncChannel:
    """An end in an asyncio process. One task at a time may wait in `receive`.

    Args:
        sock: this process's end of the pair; owned from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._parser: MessageParser[ToServer] = MessageParser(ToServer)
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._closed: str | None = None
        self._readable = asyncio.Event()
        self._loop.add_reader(sock, self._readable.set)

    async def receive(self) -> ToServer:
        """The next message.

        Raises:
            ChannelClosed: if the engine is gone, or the channel was closed here.
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
                self._shut(_ENGINE_HAS_CLOSED)
                continue
            self._parser.feed(data, descriptors)
        return message

    def take_descriptors(self, count: int) -> list[int]:
        """The first of the descriptors received so far, at most `count`; the caller owns them from
        now on."""
        return self._parser.take_descriptors(count)

    def send(self, message: ToEngine) -> None:
        """Send `message` now, or as soon as the engine reads again.

        Raises:
            ChannelClosed: if the engine is gone, or has left `UNSENT_MAX_BYTES` unread.
        """
        if self._closed is not None:
            raise ChannelClosed(self._closed)
        data = pack_message(message)
        if self._unsent_bytes + len(data) > UNSENT_MAX_BYTES:
            raise ChannelClosed(
                f"the engine has left {self._unsent_bytes} bytes unread, at most {UNSENT_MAX_BYTES}"
            )
        self._unsent.append(data)
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
                sent = self._sock.send(first)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except ConnectionError:
                self._shut(_ENGINE_HAS_CLOSED)
                return
            self._unsent_bytes -= sent
            if sent < len(first):
                self._unsent[0] = first[sent:]
            else:
                self._unsent.popleft()
        self._loop.remove_writer(self._sock)

    def _shut(self, reason: str) -> None:
        if self._closed is not None:
            return
        self._closed = reason
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._readable.set()
