"""How HTTPS begins: its certificate, and what becomes of plain HTTP on the same port."""

import asyncio
import contextlib
import datetime
import re
import socket
from pathlib import Path

from slipstream_server.config import ServerConfig
from slipstream_server.http.addresses import names
from slipstream_server.http.certificates import (
    SELF_SIGNED,
    Certificate,
    read_certificate,
    self_signed,
)

HELLO_S = 10.0  # until the first byte, and again for the handshake
_HEAD_MAX_BYTES = 4096
_TLS_HANDSHAKE = 0x16
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


async def begins_tls(connection: socket.socket) -> bool:
    """Whether TLS begins on a new connection; one of plain HTTP is redirected.

    The first byte tells them apart; it is peeked at, so that the handshake still reads it.

    Raises:
        OSError, TimeoutError: if nothing comes in time.
    """
    async with asyncio.timeout(HELLO_S):
        first = await _peek(connection)
        if first and first[0] != _TLS_HANDSHAKE:
            await _redirect(connection)
    return first[:1] == bytes([_TLS_HANDSHAKE])


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
