"""Connections that do nothing are ended, and keep nobody else out."""

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from slipstream_server.http import connection_table
from slipstream_server.http.certificates import self_signed
from slipstream_server.http.connection import note_request
from slipstream_server.http.connection_table import ConnectionTable, Phase
from slipstream_server.http.listener import HttpListener
from slipstream_server.web_addressing import TrustedProxies

from tests.server.serving import poll

PLACES = 32
HALF = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
# what a connection may do instead of asking for something
IDLERS = {
    "says nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: a\r\nX-",
    "half a body": HALF,
    "asks once": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "half a second head": b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHo",
}


@contextlib.asynccontextmanager
async def listening(
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> AsyncIterator[tuple[int, ConnectionTable]]:
    """A server on a port, and its places."""

    async def here(request: web.Request) -> web.StreamResponse:
        return web.Response(text="here")

    async def slow(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    app = web.Application(middlewares=[note_request])
    app.add_routes([web.get("/", here), web.post("/slow", slow)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    table = ConnectionTable(PLACES)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with HttpListener(
            runner.server, listener, table, trusted_proxies=TrustedProxies(), tls=tls
        ):
            yield listener.getsockname()[1], table
        await runner.cleanup()


@contextlib.asynccontextmanager
async def idle(port: int, said: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that has said this and is then kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("said", IDLERS.values(), ids=IDLERS)
async def test_a_connection_that_does_nothing_is_ended(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """whatever it has sent before; its place is free again."""
    for phase in Phase:
        monkeypatch.setitem(connection_table.DEADLINES_S, phase, 0.2)
    async with listening() as (port, table), idle(port, said) as reader:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 20)
        await poll(lambda: table.held_by("127.0.0.1") == 0)


async def get(port: int, tls: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("secure", [False, True])
async def test_an_address_that_takes_all_places_keeps_no_other_out(
    secure: bool, tmp_path: Path
) -> None:
    """200 silent or half connections of one address; another one is answered all the same."""
    server_tls: Callable[[], ssl.SSLContext] | None = None
    client_tls: ssl.SSLContext | None = None
    if secure:
        now = datetime.datetime.now(datetime.UTC)
        certificate = self_signed(tmp_path / "pair.pem", ("127.0.0.2",), now=now)
        server_tls = certificate.context
        client_tls = ssl.create_default_context(cafile=certificate.chain)
        client_tls.check_hostname = False
    async with listening(server_tls) as (port, table), contextlib.AsyncExitStack() as kept:
        for _ in range(200):
            await kept.enter_async_context(idle(port, b"" if secure else HALF))
        await poll(lambda: table.refused >= 200 - PLACES)
        assert table.held_by("127.0.0.1") == PLACES * 3 // 4
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind(("127.0.0.2", 0))  # another address of this machine
        await loop.sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=client_tls, server_hostname="127.0.0.2" if secure else None
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 20)
        writer.close()


async def test_idle_connections_give_way() -> None:
    """a browser's connections that wait for nothing do not keep its next page out."""
    async with listening() as (port, table), contextlib.AsyncExitStack() as kept:
        for _ in range(PLACES):
            reader = await kept.enter_async_context(idle(port, IDLERS["asks once"]))
            assert b"200 OK" in await reader.readline()
            await poll(lambda: Phase.REQUEST not in table.counts())
        assert b"200 OK" in await get(port)
        assert table.refused == 0
