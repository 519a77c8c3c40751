"""HTTP of the front: every request is proxied to the worker it concerns, or answered from all."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable
from http import HTTPStatus
from pathlib import Path

import msgspec
from aiohttp import web

from slipstream_server.app import version
from slipstream_server.config import ServerConfig
from slipstream_server.errors import RequestError, Unavailable
from slipstream_server.http.access import Guard
from slipstream_server.http.bodies import BODY_MAX_BYTES, read_body
from slipstream_server.http.health import HealthProbes
from slipstream_server.http.listener import note_request
from slipstream_server.http.rate_limit import RateLimit
from slipstream_server.http.static import page_routes
from slipstream_server.observability.exposition import CONTENT_TYPE, merge_metrics
from slipstream_server.observability.process_metrics import FrontMetrics
from slipstream_server.rtp.sdp import parse_offer
from slipstream_server.signaling.streams_api import StreamList
from slipstream_server.signaling.webrtc_api import OfferRequest, errors_as_json
from slipstream_server.workers.front import Front
from slipstream_server.workers.http_proxy import proxy
from slipstream_server.workers.pool import Worker, running_workers

_OFFER = "/api/v1/webrtc/offer"
_POST_PATHS = ("", "/", "/{stream}")  # under /whip and /whep


class FrontApi:
    """The handlers.

    Args:
        front: finds the workers.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._placement = front.placement
        self._metrics = FrontMetrics()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(_OFFER, self.offer),
            web.get("/metrics", self.metrics),
            web.route("*", "/api/v1/webrtc/{rest:.*}", self.by_id),
            *(web.post(f"/whip{path}", self.publish) for path in _POST_PATHS),
            *(web.post(f"/whep{path}", self.watch) for path in _POST_PATHS),
            *(web.route("*", f"/{{kind:whip|whep}}{path}", self.by_stream) for path in _POST_PATHS),
            web.route("*", "/{kind:whip|whep}/{stream}/{rest}", self.by_id),
            web.get("/api/v1/streams", self.streams),
            web.route("*", "/api/v1/streams/{stream}/{rest}", self.by_stream),
        ]

    async def offer(self, request: web.Request) -> web.Response:
        """A session begins: on the stream's worker, or for a new stream on a worker with room."""
        return await self._count_refusals(self._offer(request))

    async def publish(self, request: web.Request) -> web.Response:
        """A publisher (WHIP): to the worker that has the stream of this name, if one has."""
        return await self._count_refusals(self._publish(request))

    async def watch(self, request: web.Request) -> web.Response:
        """A subscriber (WHEP): to the worker that has the stream."""
        return await self._count_refusals(self._watch(request, request.match_info.get("stream")))

    async def by_stream(self, request: web.Request) -> web.Response:
        """A request about an existing stream."""
        await self._front.refresh()
        return await proxy(request, self._front.worker_of_stream(request.match_info.get("stream")))

    async def by_id(self, request: web.Request) -> web.Response:
        """A request about an existing session, or one that any worker can answer."""
        worker = self._front.worker_of_id(request.match_info["rest"].rpartition("/")[2])
        return await proxy(request, worker)

    async def streams(self, request: web.Request) -> web.Response:
        """The streams of all workers."""
        responsive = await self._front.refresh()
        answers = await self._answers(request, responsive)
        lists = [msgspec.json.decode(body, type=StreamList) for body in answers.values()]
        found = tuple(stream for one in lists for stream in one.streams)
        return web.Response(
            body=msgspec.json.encode(StreamList(streams=found)), content_type="application/json"
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """The metrics of the front and all workers, merged."""
        responsive = await self._front.refresh()
        texts = await self._answers(request, responsive)
        own = self._metrics.render(
            self._front.status,
            up=len(self._front.workers_up()),
            restarts=sum(worker.restarts for worker in self._front.workers),
        )
        return web.Response(body=merge_metrics(own, texts), headers={"Content-Type": CONTENT_TYPE})

    async def _count_refusals(self, answering: Awaitable[web.Response]) -> web.Response:
        try:
            return await answering
        except Unavailable as error:
            self._metrics.refused(error.status)
            raise

    async def _offer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            body = msgspec.json.decode(raw, type=OfferRequest)
            offer = await parse_offer(body.sdp, body.type)
        except (RequestError, msgspec.MsgspecError, UnicodeError, RecursionError):
            any_worker = self._front.require_workers()[0]
            return await proxy(request, any_worker)  # its answer says what is wrong
        responsive = await self._front.refresh()
        if body.resume is not None:  # the stream's worker decides whether it can be resumed
            stream_id = body.resume.rpartition(".")[0]
            return await proxy(request, self._front.worker_of_id(stream_id))
        if offer.sends_video:
            worker = self._front.worker_for_publisher(responsive)
            return await self._begin_call(
                request, worker, self._placement.publisher_arriving(worker.index)
            )
        return await self._watch(request, body.view)

    async def _publish(self, request: web.Request) -> web.Response:
        responsive = await self._front.refresh()
        name = request.match_info.get("stream")
        index = None if name is None else self._placement.worker_of(name)
        if index is None:
            worker = self._front.worker_for_publisher(responsive)
        else:
            worker = self._front.workers[index]
        arriving = self._placement.publisher_arriving(worker.index, stream=name)
        return await self._begin_call(request, worker, arriving)

    async def _watch(self, request: web.Request, stream: str | None) -> web.Response:
        await self._front.refresh()
        worker = self._front.worker_of_stream(stream)
        arriving = self._placement.subscriber_arriving(worker.index)
        return await self._begin_call(request, worker, arriving)

    async def _begin_call(
        self,
        request: web.Request,
        worker: Worker,
        arriving: contextlib.AbstractContextManager[None],
    ) -> web.Response:
        """Proxy a new call, which counts as arriving until the worker's status includes it."""
        with arriving:
            answer = await proxy(request, worker)
            with contextlib.suppress(Unavailable):
                await worker.refresh()
            return answer

    async def _answers(self, request: web.Request, workers: list[Worker]) -> dict[int, bytes]:
        """The body of each worker's answer, by its index; a worker that fails is left out."""
        answers = await asyncio.gather(
            *(proxy(request, worker) for worker in workers), return_exceptions=True
        )
        return {
            worker.index: answer.body
            for worker, answer in zip(workers, answers, strict=True)
            if isinstance(answer, web.Response) and answer.status == HTTPStatus.OK
            if isinstance(answer.body, bytes) and answer.body  # none where HEAD asks
        }


@contextlib.asynccontextmanager
async def multi_process(config: ServerConfig, page: Path) -> AsyncIterator[web.Application]:
    """The application of the front, while engine and workers run.

    Args:
        page: the folder of the page's files.
    """
    front = Front(config)
    guard = Guard(config)
    probes = HealthProbes(
        engine=front,
        count=front.count,
        config=config,
        version=version(),
        began_s=time.monotonic(),
    )
    rate_limit = RateLimit(config.offers_per_minute)
    app = web.Application(
        client_max_size=BODY_MAX_BYTES,
        middlewares=[note_request, *guard.middlewares(errors_as_json, rate_limit.limit), read_body],
    )
    app.add_routes(FrontApi(front).routes())
    app.add_routes(probes.routes())
    app.add_routes(page_routes(page))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(front.supervisor.run(), name="supervisor")
        try:
            async with running_workers(config, front) as workers:
                front.workers += workers
                yield app
        finally:
            front.supervisor.stop()
            await running
