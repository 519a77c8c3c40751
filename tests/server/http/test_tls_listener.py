"""https on the one port: pages, calls, and a word for those who speak plain HTTP."""

import asyncio
import datetime
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from slipstream_server.http.certificates import Certificate, self_signed
from slipstream_server.http.connection_table import ConnectionTable
from slipstream_server.http.listener import HttpListener
from slipstream_server.http.tls_listener import plain_answer
from slipstream_server.web_addressing import TrustedProxies

from tests.server.calls import Camera, dial
from tests.server.command import health, slipstream
from tests.server.http.test_certificates import pair
from tests.server.serving import poll

NOW_NAMES = ("localhost", "127.0.0.1", "::1")


@asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[tuple[int, Certificate]]:
    """A listener whose pages say "here", and its port."""
    certificate = self_signed(
        tmp_path / "pair.pem", NOW_NAMES, now=datetime.datetime.now(datetime.UTC)
    )

    async def here(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"here, {request.scheme}")

    runner = web.ServerRunner(web.Server(here))
    await runner.setup()
    assert runner.server is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with HttpListener(
            runner.server,
            listener,
            ConnectionTable(64),
            trusted_proxies=TrustedProxies(),
            tls=certificate.context,
        ):
            yield listener.getsockname()[1], certificate
        await runner.cleanup()


async def say(port: int, text: bytes) -> bytes:
    """What the port answers to bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


async def get(port: int, certificate: Certificate) -> str:
    trusting = ssl.create_default_context(cafile=certificate.chain)
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"https://127.0.0.1:{port}/", ssl=trusting) as response,
    ):
        return await response.text()


async def test_a_browser_that_trusts_the_certificate_is_served(tmp_path: Path) -> None:
    async with listening(tmp_path) as (port, certificate):
        assert await get(port, certificate) == "here, https"


async def test_plain_http_is_sent_to_https(tmp_path: Path) -> None:
    """with the very path that was asked for."""
    async with listening(tmp_path) as (port, _):
        answer = await say(port, b"GET /view?x=1 HTTP/1.1\r\nHost: studio:81\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 308 ")
    assert b"\r\nLocation: https://studio:81/view?x=1\r\n" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\r\nSet-Cookie:a=b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rSet-Cookie: b\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nHost: a\r\n\r\n",
        bytes(range(256)),
    ],
)
def test_what_names_no_page_is_answered_with_the_rule(sent: bytes) -> None:
    """and nothing of what it says gets into the head of the answer."""
    head, _, text = plain_answer(sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Location" not in head and b"Cookie" not in head
    assert b"speaks https only" in text


async def test_callers_who_do_not_begin_cost_nothing_that_stays(tmp_path: Path) -> None:
    """silence, broken handshakes and hang-ups leave no socket, and the next caller is served."""

    def sockets() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with listening(tmp_path) as (port, certificate):
        await get(port, certificate)
        before = sockets()
        for _ in range(30):
            await say(port, b"\x16\x03\x01\x00\x05garbage that is no handshake at all")
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        assert await get(port, certificate) == "here, https"
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
        await poll(lambda: sockets() <= before)


async def test_a_call_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """the command makes a certificate, prints where it is, and a whole call runs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    async with slipstream("--tls", "self-signed") as (_, address):
        assert address.startswith("https://127.0.0.1:")
        kept = tmp_path / ".cache/slipstream/tls/self-signed.pem"
        trusting = ssl.create_default_context(cafile=kept)
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(address, connector=connector) as http:
            await health(address, http)
            async with dial(http, camera=Camera()) as call:
                await call.until_frames(8)


async def test_own_files_that_cannot_be_end_the_program_with_the_reason(tmp_path: Path) -> None:
    chain, _ = pair(tmp_path)
    _, other = pair(tmp_path, name="other")
    for flags, reason in (
        (("--tls-cert", str(chain)), "tls_key is not set, tls_cert and tls_key go together"),
        (("--tls-cert", str(chain), "--tls-key", str(other)), "does not belong to tls_cert"),
        (("--tls", "yes"), "tls is 'yes', it must be 'self-signed', or unset"),
        (
            ("--tls", "self-signed", "--tls-cert", str(chain), "--tls-key", str(other)),
            "tls is 'self-signed' and tls_cert is set, only one can be",
        ),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream_server", "--port", "0", *flags),
            stderr=asyncio.subprocess.PIPE,
        )
        _, output = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 1
        assert reason in output.decode()
        assert "Traceback" not in output.decode()
