"""One HTTP connection, between its transport and aiohttp.

What comes at once is parsed at once by aiohttp, up to 256 KB: 43,000 chunks of one byte (RFC 9112,
7.1) of a body behind its head, before anybody has looked at the token. Here it gets a piece at a
time, and everything else has a turn in between.
"""

import asyncio
from typing import cast

from aiohttp import web
from slipstream_protocol.clock import now_ns

from slipstream_server.http.connection_table import ConnectionTable, Phase, Place
from slipstream_server.http.outside import Handler

PIECE_BYTES = 2048  # 341 chunks of one byte


class HttpConnection(asyncio.Protocol):
    """One connection, between its transport and aiohttp's protocol.

    Args:
        inner: aiohttp's.
        place: its own, given back when it is lost.
    """

    def __init__(self, inner: asyncio.Protocol, table: ConnectionTable, place: Place) -> None:
        self._inner = inner
        self._table = table
        self._place = place
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()  # what has come and is not parsed yet
        self._is_held = False  # reading is paused here, not by aiohttp
        self._is_discarding = False
        self._requests = 0  # pipelined ones are served one by one, all of them are one request here

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    def discard(self) -> None:
        """Let nothing that comes from now on reach aiohttp; the connection is of no more use."""
        self._is_discarding = True
        self._unread.clear()
        if self._transport is not None:
            self._transport.resume_reading()

    def serve_in(self, task: "asyncio.Task[object]") -> None:
        """A request has come; the task serves it and sends the answer."""
        self._requests += 1
        self._table.enter(self._place, Phase.REQUEST, now_ns())
        task.add_done_callback(self._on_served)

    def _on_served(self, _: object) -> None:
        self._requests -= 1
        if not self._requests:
            self._table.enter(self._place, Phase.IDLE, now_ns())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP and TLS have this kind
        self._table.enter(self._place, Phase.HEAD, now_ns())
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._unread.clear()
        self._table.release(self._place)
        self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._is_discarding:
            return
        if self._place.phase is Phase.IDLE:
            self._table.enter(self._place, Phase.HEAD, now_ns())
        waits = bool(self._unread)
        self._unread += data
        if not waits:
            self._parse_piece()

    def _parse_piece(self) -> None:
        """Let aiohttp parse the next piece, and others have a turn before the one after it.

        Nothing more is read meanwhile, unless aiohttp resumes after a pause of its own.
        """
        transport = self._transport
        if not self._unread or transport is None:
            return
        piece = bytes(self._unread[:PIECE_BYTES])
        del self._unread[:PIECE_BYTES]
        if self._is_held:
            self._is_held = False
            transport.resume_reading()
        self._inner.data_received(piece)
        if self._unread:
            if transport.is_reading():  # else aiohttp has paused it, and resumes it as well
                self._is_held = True
                transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._parse_piece)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that a request has come, and when its answer is sent. The outermost."""
    transport, task = request.transport, asyncio.current_task()
    connection = transport.get_protocol() if transport is not None else None
    if isinstance(connection, HttpConnection) and task is not None:
        connection.serve_in(task)
    return await handler(request)
