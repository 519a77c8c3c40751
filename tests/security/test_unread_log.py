"""A server whose log nobody reads, and callers who go away: neither is anybody else's trouble."""

import asyncio
import contextlib
import os
import re
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.server.command import health, slipstream

DEADLINE_S = 20


@contextlib.asynccontextmanager
async def unread(*flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, int]]:
    """A server, its address, and the end of its standard error that nobody reads."""
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "--port", "0", "--pipeline", "echo", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=writer,
    )
    os.close(writer)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
        yield process, line.decode().split()[-1], reader
    finally:
        os.close(reader)
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def fill(http: aiohttp.ClientSession, address: str, lines: int) -> None:
    """Have the server log so many lines of a kilobyte."""
    path = f"{address}api/v1/streams/{'x' * 900}/parameters"
    for _ in range(lines):
        async with http.patch(path, json={}) as answer:
            assert answer.status == 404


async def test_a_log_that_nobody_reads_stops_nothing() -> None:
    """requests are answered on and on, what is lost is counted, a signal still ends the server,
    and a reader who comes back finds how many lines are missing."""
    async with unread("--offers-per-minute", "0") as (process, address, reader):
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            await health(address, http)
            await fill(http, address, 1500)
            async with http.get(address + "metrics") as answer:
                metrics = await answer.text()
            found = re.search(r"slipstream_log_lines_dropped_total (\d+)", metrics)
            assert found is not None and float(found[1]) > 0
            os.set_blocking(reader, False)
            text = b""
            while b"lines of the log were dropped" not in text:
                with contextlib.suppress(BlockingIOError):
                    text = text[-200:] + os.read(reader, 1 << 20)
                await asyncio.sleep(0)
            await fill(http, address, 200)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0


async def test_a_log_whose_reader_is_gone_stops_nothing() -> None:
    async with unread("--offers-per-minute", "0") as (process, address, reader):
        nothing, other_end = os.pipe()
        os.dup2(nothing, reader)  # closes the end that the log could be read from
        os.close(nothing)
        os.close(other_end)
        async with aiohttp.ClientSession() as http:
            await health(address, http)
            await fill(http, address, 50)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0


def reset(sock: socket.socket) -> None:
    """Close with a reset, as a browser that is killed does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


BODY = b"POST /api/v1/webrtc/offer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n{"
WHOLE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
ABORTS: dict[str, bytes] = {
    "before it says anything": b"",
    "in the middle of a head": b"GET / HTTP/1.1\r\nHo",
    "in the middle of a body": BODY,
    "before the answer": WHOLE,
    "with more requests under way": WHOLE * 50,
    "in the middle of a chunk": BODY.replace(
        b"Content-Length: 9000", b"Transfer-Encoding: chunked"
    ).replace(b"{", b"ffff\r\nxx"),
}


def abort(port: int, say: bytes, end: Callable[[socket.socket], None]) -> None:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(say)
    end(sock)


def abort_tls(port: int, say: bytes, end: Callable[[socket.socket], None]) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = socket.create_connection(("127.0.0.1", port))
    plain = socket.socket(fileno=os.dup(sock.fileno()))
    with context.wrap_socket(sock) as secure:
        secure.sendall(say)
        end(plain)


HELLO = bytes.fromhex("16030100050100000100")  # a record that promises a longer hello
TLS_BEGINNINGS = (b"", b"\x16", HELLO, HELLO + b"\xff" * 300, b"\x16\x03\x01\x00\x02\xff\xff")


@pytest.mark.parametrize("tls", [False, True])
async def test_callers_who_go_away_are_no_errors(tmp_path: Path, tls: bool) -> None:
    """wherever in a request or a handshake they leave: no traceback, no error in the log."""
    log = tmp_path / "log"
    flags = ("--tls", "self-signed", "--log-level", "debug") if tls else ("--log-level", "debug")
    async with slipstream(*flags, log=log) as (_, address):
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        for end in (reset, socket.socket.close):
            for say in TLS_BEGINNINGS if tls else ():
                await asyncio.to_thread(abort, port, say, end)
            for say in ABORTS.values():
                await asyncio.to_thread(abort_tls if tls else abort, port, say, end)
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(connector=connector) as http:
            await health(address, http)

            async def quiet() -> bool:
                async with http.get(address + "metrics") as answer:
                    text = await answer.text()
                counts = re.findall(r"^slipstream_http_connections\{.*\} (\S+)", text, re.MULTILINE)
                return sum(map(float, counts)) <= 1

            for _ in range(DEADLINE_S * 20):
                if await quiet():
                    break
                await asyncio.sleep(0.05)
    text = log.read_text()
    assert "Traceback" not in text and " ERROR " not in text, text
