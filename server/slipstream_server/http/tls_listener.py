"""HTTPS; requests of plain HTTP to the same port are redirected."""

import asyncio
import contextlib
import datetime
import logging
import re
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from slipstream_server.config import ServerConfig
from slipstream_server.http.addresses import names
from slipstream_server.http.certificates import (
    SELF_SIGNED,
    Certificate,
    read_certificate,
    self_signed,
)

logger = logging.getLogger(__name__)

HELLO_S = 10.0  # until the first byte, and again for the handshake
_BEGINNING_MAX = 256  # connections whose handshake has not begun
_HEAD_MAX_BYTES = 4096
_TLS_HANDSHAKE = 0x16
_ACCEPT_PAUSE_S = 0.5
_REQUEST = re.compile(rb"^[A-Z]{3,10} (/[\x21-\x7e]*) HTTP/1\.[01]\r\n")
_HOST = re.compile(rb"\r\n[Hh]ost:[ \t]*([A-Za-z0-9.:\[\]-]{1,255})[ \t]*\r\n")


def certificate_for(config: ServerConfig) -> Certificate | None:
    """The certificate for the settings; None for plain HTTP.

    Raises:
        ConfigError: if it cannot be read or made.
    """
    now = datetime.datetime.now(datetime.UTC)
    if config.tls_cert:
        chain, key = Path(config.tls_cert).expanduser(), Path(config.tls_key).expanduser()
        return read_certificate(chain, key, now=now)
    if config.tls == "self-signed":
        return self_signed(SELF_SIGNED.expanduser(), names(config.host), now=now)
    return None


class TlsListener:
    """Accepts TLS connections for `server`, and redirects plain HTTP.

    The first byte tells them apart; it is peeked at, so that the handshake still reads it.
    Connections without a first byte are limited in number and time.

    Args:
        server: makes a protocol for each connection, and closes them when it is shut down.
        listener: bound and listening; stays the caller's.
    """

    def __init__(
        self, server: web.Server, listener: socket.socket, context: ssl.SSLContext
    ) -> None:
        self._server = server
        self._listener = listener
        self._context = context
        self._beginning: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_BEGINNING_MAX)
        self._accepting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(), name="tls accept")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._accepting is not None, "it has been entered"
        tasks = [self._accepting, *self._beginning]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # out of descriptors, most likely: it passes
                self._places.release()
                logger.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            task = asyncio.create_task(self._begin(connection), name="tls begin")
            self._beginning.add(task)
            task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._beginning.discard(task)
        self._places.release()

    async def _begin(self, connection: socket.socket) -> None:
        """Pass a TLS connection to the server, or redirect one of plain HTTP."""
        loop = asyncio.get_running_loop()
        handed_over = False
        try:
            async with asyncio.timeout(HELLO_S):
                first = await _peek(connection)
            if first and first[0] == _TLS_HANDSHAKE:
                handed_over = True
                await loop.connect_accepted_socket(
                    self._server, connection, ssl=self._context, ssl_handshake_timeout=HELLO_S
                )
            elif first:
                async with asyncio.timeout(HELLO_S):
                    await _redirect(connection)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            logger.debug("a connection did not begin: %s", error)
        finally:
            if not handed_over:
                connection.close()


async def _peek(connection: socket.socket) -> bytes:
    """The first byte, not consumed; empty if the peer has closed the connection."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(connection, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _redirect(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    head = await loop.sock_recv(connection, _HEAD_MAX_BYTES)
    await loop.sock_sendall(connection, plain_answer(head))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def plain_answer(head: bytes) -> bytes:
    """The redirect for a request of plain HTTP; an error if it cannot be parsed.

    Args:
        head: the beginning of the request.
    """
    request, host = _REQUEST.match(head), _HOST.search(head)
    where = b"https://" + host[1] + request[1] if request and host else b""
    text = b"this port speaks https only; open " + (where or b"https://") + b"\n"
    status = b"308 Permanent Redirect" if where else b"400 Bad Request"
    location = b"Location: " + where + b"\r\n" if where else b""
    return (
        b"HTTP/1.1 " + status + b"\r\n" + location + b"Content-Type: text/plain\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(text)
    ) + text
