"""http/security_headers.py and http/error_pages.py: what every answer says to browsers."""

import asyncio
import ssl
from pathlib import Path

import pytest
import yarl

from tests.server.command import slipstream

WELL_FORMED = (
    "GET / HTTP/1.1",
    "GET /view/some HTTP/1.1",
    "GET /studio/main.js HTTP/1.1",
    "GET /health HTTP/1.1",
    "GET /nothing HTTP/1.1",
    "HEAD / HTTP/1.1",
    "PUT / HTTP/1.1",
    "POST /api/v1/webrtc/offer HTTP/1.1",
    "OPTIONS /whip/some HTTP/1.1",
    "GET /health HTTP/1.1\r\nExpect: tea",
    "GET /studio/main.js HTTP/1.1\r\nRange: bytes=9-1",
)
MALFORMED = (
    "no request at all",
    "BREW / HTTP/1.1",
    "GET / HTTP/9.9",
    "G@T / HTTP/1.1",
    "GET /\x01 HTTP/1.1",
    "GET / HTTP/1.1\r\nno header",
    "GET / HTTP/1.1\r\nContent-Length: many",
    "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
    f"GET /{'a' * 9000} HTTP/1.1",
    f"GET / HTTP/1.1\r\nX: {'a' * 9000}",
)


async def answer_to(
    address: yarl.URL, head: str, context: ssl.SSLContext | None
) -> tuple[int, dict[str, str]]:
    """Status and headers of what comes back."""
    assert address.host is not None
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    try:
        writer.write(f"{head}\r\nHost: localhost\r\n\r\n".encode("latin-1"))
        async with asyncio.timeout(10):
            found = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    finally:
        writer.close()
    status, *lines = found.rstrip().split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_every_answer_carries_the_headers_and_names_no_software(
    secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pages, refusals, and what is answered to bytes that are no request; scripts and styles come
    from files only, and browsers are held to https where it is used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    context = ssl.create_default_context() if secure else None
    if context is not None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    log = tmp_path / "log"
    flags = ("--tls", "self-signed") if secure else ()
    async with slipstream(*flags, log=log) as (_, address):
        for head in (*WELL_FORMED, *MALFORMED):
            status, headers = await answer_to(yarl.URL(address), head, context)
            assert (status == 400) is (head in MALFORMED or "/offer" in head), head
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'self';"), head
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "server" not in headers
            assert ("strict-transport-security" in headers) is secure
    assert "Traceback" not in log.read_text()
