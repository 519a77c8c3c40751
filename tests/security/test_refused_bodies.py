"""Bodies of refused requests cost nothing, however they come, and their callers read the answer."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import StreamReader, web
from slipstream_server.http import refused_bodies
from slipstream_server.http.bodies import HTTP_OPTIONS
from slipstream_server.http.connection import PIECE_BYTES, note_request
from slipstream_server.http.connection_table import ConnectionTable
from slipstream_server.http.listener import HttpListener
from slipstream_server.http.refused_bodies import discard_refused_body
from slipstream_server.web_addressing import TrustedProxies

HEAD = "POST / HTTP/1.1\r\nHost: a\r\n"
TINY = b"1\r\nx\r\n" * 4000
DEADLINE_S = 20


@contextlib.asynccontextmanager
async def refusing() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that lets nobody in and reads no body."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPUnauthorized

    app = web.Application(middlewares=[note_request, discard_refused_body])
    app.add_routes([web.post("/", refuse)])
    runner = web.AppRunner(app, shutdown_timeout=0.1, **HTTP_OPTIONS)
    await runner.setup()
    assert runner.server is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with HttpListener(
            runner.server, listener, ConnectionTable(8), trusted_proxies=TrustedProxies()
        ):
            port = listener.getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            yield reader, writer
            writer.transport.abort()
        await runner.cleanup()


async def test_tiny_chunks_of_a_refused_body_are_not_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """parsing them is what would hold up all others; they are taken off the wire unseen, and not
    for ever."""
    pieces = 0
    feed = StreamReader.feed_data

    def counted(self: StreamReader, data: bytes, size: int = 0) -> bool:
        nonlocal pieces
        pieces += 1
        return feed(self, data, size)

    monkeypatch.setattr(StreamReader, "feed_data", counted)
    monkeypatch.setattr(refused_bodies, "REFUSED_BODY_S", 0.5)
    async with asyncio.timeout(DEADLINE_S), refusing() as (reader, writer):
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert b" 401 " in await reader.readline()
        for _ in range(10):
            writer.write(TINY)
            await writer.drain()
        await reader.read()
    assert pieces == 0


async def test_others_have_turns_while_what_came_at_once_is_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """a head and ten thousand chunks that come with it: few of them are parsed in one turn, and
    with the answer it ends."""
    turn = 0
    parsed: Counter[int] = Counter()
    feed = StreamReader.feed_data

    def counted(self: StreamReader, data: bytes, size: int = 0) -> bool:
        parsed[turn] += 1
        return feed(self, data, size)

    async def take_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(StreamReader, "feed_data", counted)
    async with asyncio.timeout(DEADLINE_S), refusing() as (reader, writer):
        turns = asyncio.create_task(take_turns())
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + TINY * 3)
        assert b" 401 " in await reader.readline()
        turns.cancel()
    assert 0 < max(parsed.values()) <= PIECE_BYTES // 6
    assert parsed.total() < 10_000


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_who_sends_a_large_body_whole_reads_the_answer(is_chunked: bool) -> None:
    """before the connection ends, without a reset."""
    body = bytes(512 << 10)
    kind = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    async with asyncio.timeout(DEADLINE_S), refusing() as (reader, writer):
        writer.write(f"{HEAD}{kind}\r\n\r\n".encode())
        writer.write(
            f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n" if is_chunked else body
        )
        await writer.drain()
        answer = await reader.read()
    assert b" 401 " in answer.splitlines()[0] and b"401: Unauthorized" in answer
