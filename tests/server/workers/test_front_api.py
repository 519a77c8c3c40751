"""The front beside workers whose parts the test plays."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from slipstream_server.config import ServerConfig
from slipstream_server.errors import Unavailable
from slipstream_server.workers import front_api
from slipstream_server.workers.front import Front
from slipstream_server.workers.front_api import FrontApi
from slipstream_server.workers.pool import Worker

LISTED = b'{"streams":[{"stream":"one","state":"live","published":true,"viewers":2}]}'


@pytest.mark.parametrize("trouble", [Unavailable("it ends", retry_after_s=1.0), 503])
async def test_a_worker_that_ends_meanwhile_takes_no_other_streams_from_the_list(
    trouble: Exception | int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """also where its last answer is a refusal."""
    front = Front(ServerConfig())
    workers = [Worker(index, ServerConfig(), tmp_path, front) for index in range(2)]

    async def refresh() -> list[Worker]:
        return workers

    async def proxy(request: web.Request, worker: Worker) -> web.Response:
        if worker.index == 0:
            return web.Response(body=LISTED)
        if isinstance(trouble, int):
            return web.json_response({"error": "no"}, status=trouble)
        raise trouble

    monkeypatch.setattr(front, "refresh", refresh)
    monkeypatch.setattr(front_api, "proxy", proxy)
    app = web.Application()
    app.router.add_get("/api/v1/streams", FrontApi(front).streams)
    async with (
        asyncio.timeout(20),
        TestClient[Any, Any](TestServer(app)) as client,
        client.get("/api/v1/streams") as response,
    ):
        assert (response.status, await response.read()) == (200, LISTED)
