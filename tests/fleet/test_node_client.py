"""Requests to nodes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slipstream_fleet.node_client import AnswerTooLarge, NodeClient

LONG_BYTES = 3 << 20


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, NodeClient]]:
    """A node that answers with so many bytes, and a client that reads 1,000 as one."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["size"]))

    app = web.Application()
    app.add_routes([web.get("/file", answer)])
    async with TestServer(app) as server, NodeClient("", whole_max_bytes=1000) as client:
        yield str(server.make_url("")).rstrip("/"), client


async def test_an_answer_comes_whole_or_not_at_all() -> None:
    """one above the bound is refused, where its first part would be taken for all of it."""
    async with answering() as (url, client):
        assert len((await client.send(url, "GET", "/file?size=1000")).body) == 1000
        with pytest.raises(AnswerTooLarge, match="more than 1000 bytes"):
            await client.send(url, "GET", "/file?size=1001")
        assert len((await client.send(url, "GET", "/file?size=1000")).body) == 1000


async def test_a_long_answer_comes_in_parts() -> None:
    """as often as it is asked for, and no byte of it is lost; a short one comes at once."""
    async with answering() as (url, client):
        short = await client.send(url, "GET", "/file?size=1001", in_parts=True)
        assert (len(short.body), short.rest) == (1001, None)
        for _ in range(2):
            long = await client.send(url, "GET", f"/file?size={LONG_BYTES}", in_parts=True)
            assert long.rest is not None
            assert len(long.body) < LONG_BYTES
            rest = [part async for part in long.rest]
            assert len(long.body) + sum(map(len, rest)) == LONG_BYTES


async def test_the_rest_of_an_answer_may_be_left() -> None:
    """and the node is asked again afterwards."""
    async with answering() as (url, client):
        long = await client.send(url, "GET", f"/file?size={LONG_BYTES}", in_parts=True)
        assert long.rest is not None
        long.rest.close()
        assert (await client.send(url, "GET", "/file?size=1")).body == b"x"
