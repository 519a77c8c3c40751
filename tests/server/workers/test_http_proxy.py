"""workers/http_proxy.py: requests to a worker whose part the test plays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from slipstream_server.config import ServerConfig
from slipstream_server.http.access import Handler
from slipstream_server.signaling.webrtc_api import errors_as_json
from slipstream_server.workers.http_proxy import proxy
from slipstream_server.workers.pool import Worker
from slipstream_server.workers.protocol import WorkerStatus
from yarl import URL


class IdleObserver:
    """An observer that does nothing."""

    def on_up(self, worker: Worker) -> None: ...
    def on_status(self, worker: Worker, status: WorkerStatus) -> None: ...
    def on_down(self, worker: Worker) -> None: ...


@asynccontextmanager
async def proxied(folder: Path, handler: Handler | None) -> AsyncIterator[TestClient[Any, Any]]:
    """A client whose every request goes to `handler`, over a worker's socket; None: it is down."""
    worker = Worker(0, ServerConfig(), folder, IdleObserver())
    path = folder / "worker"
    far = web.Application()
    far.router.add_route("*", "/{rest:.*}", handler or echo)
    runner = web.AppRunner(far, shutdown_timeout=0.1)  # what hangs there is not waited for
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()

    async def to_worker(request: web.Request) -> web.StreamResponse:
        return await proxy(request, worker)

    near = web.Application(middlewares=[errors_as_json], client_max_size=1000)
    near.router.add_route("*", "/{rest:.*}", to_worker)
    connector = aiohttp.UnixConnector(str(path))
    timeout = aiohttp.ClientTimeout(total=0.5)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as http,
        TestClient(TestServer(near)) as client,
    ):
        if handler is not None:
            worker.http = http
        yield client
    await runner.cleanup()


async def echo(request: web.Request) -> web.StreamResponse:
    """The request as it has arrived."""
    received = {
        "method": request.method,
        "path": request.raw_path,
        "headers": {name.lower(): text for name, text in request.headers.items()},
        "body": (await request.read()).decode(),
    }
    return web.json_response(received, status=201, headers={"Location": "/whip/x", "ETag": '"1"'})


async def test_a_request_arrives_as_it_was_sent_and_its_answer_too(tmp_path: Path) -> None:
    """method, path with all its signs, headers, body; status and headers back."""
    async with proxied(tmp_path, echo) as client:
        url = URL("/whip/a%2Fb%20c?view=x%26y", encoded=True)
        async with client.patch(
            url, data=b"v=0", headers={"If-Match": '"1"', "Content-Type": "application/sdp"}
        ) as answer:
            received = await answer.json()
            assert answer.status == 201
            assert (answer.headers["Location"], answer.headers["ETag"]) == ("/whip/x", '"1"')
        assert (received["method"], received["body"]) == ("PATCH", "v=0")
        assert received["path"] == str(url)
        assert received["headers"]["if-match"] == '"1"'
        assert received["headers"]["content-type"] == "application/sdp"
        assert received["headers"]["host"] == client.make_url("/").authority


async def test_headers_of_one_connection_are_not_passed_on(tmp_path: Path) -> None:
    """also what a caller names in its Connection header."""
    headers = {
        "Connection": "close, X-Private",
        "X-Private": "1",
        "TE": "trailers",
        "X-Public": "1",
    }
    async with proxied(tmp_path, echo) as client, client.get("/", headers=headers) as answer:
        received = (await answer.json())["headers"]
    assert "x-public" in received
    assert not {"x-private", "te"} & set(received)


async def test_an_answer_without_a_body_has_none(tmp_path: Path) -> None:
    async def done(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async with proxied(tmp_path, done) as client, client.delete("/offer/x") as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nothing ends this wait")


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize("trouble", [hang, hang_up, None])
async def test_a_worker_in_trouble_is_a_reason_to_ask_again(
    trouble: Callable[[web.Request], Any] | None, tmp_path: Path
) -> None:
    """it hangs, it ends in the middle of it, it is not there."""
    async with proxied(tmp_path, trouble) as client, client.post("/offer", data=b"x") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        assert (await answer.json())["error"].startswith("media worker 0 ")


async def test_a_body_that_is_too_large_does_not_reach_the_worker(tmp_path: Path) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        raise AssertionError("it was passed on")

    async with proxied(tmp_path, never) as client, client.post("/", data=b"x" * 2000) as answer:
        assert answer.status == 413
