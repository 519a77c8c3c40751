"""Bodies of requests cost nothing before they are allowed: attack by attack, route by route."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.http_parser import DeflateBuffer
from slipstream_server.http import bodies

from tests.server.calls import OFFER_PATH
from tests.server.command import health, slipstream
from tests.server.serving import Serving, serving

TOKEN = "a-token-of-enough-length"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
# every route that reads a body, the one that takes none, and one that is not there
ROUTES = (
    ("POST", OFFER_PATH),
    ("PATCH", OFFER_PATH + "/x"),
    ("DELETE", OFFER_PATH + "/x"),
    ("POST", "/whip/x"),
    ("PATCH", "/whip/x/y"),
    ("POST", "/whep/x"),
    ("PATCH", "/api/v1/streams/x/parameters"),
)
PACKED = (
    ("deflate", zlib.compress(bytes(16 << 20))),
    ("gzip", gzip.compress(bytes(16 << 20))),
    ("GZIP", b"garbage"),
    ("br", b"garbage"),
    ("x-unknown", b"garbage"),
    ("gzip, deflate", b"garbage"),
)


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of what the HTTP parser was given to unpack."""
    sizes: list[int] = []
    feed = DeflateBuffer.feed_data

    def counted(self: DeflateBuffer, chunk: bytes, size: int = 0) -> Any:
        sizes.append(len(chunk))
        return feed(self, chunk, size)

    monkeypatch.setattr(DeflateBuffer, "feed_data", counted)
    yield sizes


@pytest.mark.parametrize("coding", PACKED, ids=lambda one: str(one[0]))
async def test_packed_bodies_are_never_unpacked(
    coding: tuple[str, bytes], unpacked: list[int], tmp_path: Path
) -> None:
    """401 without the token, 415 with it, on every route that reads one."""
    name, body = coding
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for method, path in ROUTES:
            for headers, status in (({}, 401), (ALLOWED, 415)):
                headers = headers | {"Content-Encoding": name}
                request = server.client.request(method, path, data=body, headers=headers)
                async with request as response:
                    assert (response.status, path) == (status, path)
                    if status == 415:
                        assert "bodies are not unpacked" in (await response.json())["error"]
    assert unpacked == []


@asynccontextmanager
async def half_request(port: int | None, head: str) -> AsyncIterator[asyncio.StreamReader]:
    """The answer to a head whose body never comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("length", ["Content-Length: 262144", "Transfer-Encoding: chunked"])
async def test_no_body_is_waited_for_before_the_token(length: str, tmp_path: Path) -> None:
    """a stranger who announces a body and sends none is answered at once."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for method, path in ROUTES:
            head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n"
            async with half_request(server.client.port, head) as reader:
                assert b" 401 " in await asyncio.wait_for(reader.readline(), 5)


async def test_a_body_that_does_not_come_ends_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """408, and the connection is closed."""
    monkeypatch.setattr(bodies, "BODY_S", 0.05)

    async def refused_late(server: Serving, method: str, path: str) -> None:
        head = f"{method} {path}?token={TOKEN} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{"
        async with half_request(server.client.port, head) as reader:
            answer = await asyncio.wait_for(reader.read(), 20)
        assert b" 408 " in answer.splitlines()[0]
        assert b"the body has not come within" in answer

    async with serving(tmp_path, ready=False, token=TOKEN) as server, asyncio.TaskGroup() as tasks:
        for method, path in ROUTES:
            tasks.create_task(refused_late(server, method, path))


async def test_a_body_in_chunks_is_refused_unread(tmp_path: Path) -> None:
    """411 on every route that reads one, however much of it is there: what a chunk costs does not
    depend on its size, and every client of ours says how long its body is."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for method, path in ROUTES:
            head = f"{method} {path}?token={TOKEN} HTTP/1.1\r\nHost: a\r\n"
            chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n"
            for begun in ("", "2\r\n{}\r\n", "2\r\n{}\r\n0\r\n\r\n"):
                async with half_request(server.client.port, chunked + begun) as reader:
                    answer = await asyncio.wait_for(reader.readuntil(b"}"), 5)
                    assert (answer.split()[1], path) == (b"411", path)
                    assert b"send it whole" in answer


async def test_a_body_that_says_it_is_too_large_is_not_read(tmp_path: Path) -> None:
    """the length in the head is enough."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        head = (
            f"POST {OFFER_PATH}?token={TOKEN} HTTP/1.1\r\nHost: a\r\n"
            f"Content-Length: {bodies.BODY_MAX_BYTES + 1}\r\n\r\n"
        )
        async with half_request(server.client.port, head) as reader:
            assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)


async def test_the_command_does_not_unpack_either() -> None:
    """garbage that says it is packed is refused by its head: a parser that unpacks would fail."""
    async with slipstream() as (_, address), aiohttp.ClientSession(address) as http:
        await health(address, http)
        packed = {"Content-Encoding": "deflate"}
        async with http.post(OFFER_PATH, data=b"garbage", headers=packed) as response:
            assert response.status == 415
