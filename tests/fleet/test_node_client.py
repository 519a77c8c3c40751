"""Requests to nodes."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slipstream_fleet.node_client import AnswerTooLarge, NodeClient


async def test_an_answer_comes_whole_or_not_at_all() -> None:
    """one above the bound is refused, where its first part would be taken for all of it."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["size"]))

    app = web.Application()
    app.add_routes([web.get("/file", answer)])
    async with TestServer(app) as server, NodeClient("", answer_max_bytes=1000) as client:
        url = str(server.make_url("")).rstrip("/")
        assert len((await client.send(url, "GET", "/file?size=1000")).body) == 1000
        with pytest.raises(AnswerTooLarge, match="more than 1000 bytes"):
            await client.send(url, "GET", "/file?size=1001")
