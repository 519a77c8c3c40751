"""Calls spread over several processes: the front has the port, the page and the engine; media
workers have the calls.

    caller -- HTTP --> front -- HTTP on a Unix socket --> worker 0 .. n-1
    caller <---------- media (UDP), straight -----------> worker
                       engine <-- exchange --> worker      messages; pixels lie in shared memory

A session stays with its worker for life. What is addressed by an id finds the worker by the mark
that the id begins with; a new camera goes to the worker with the fewest calls, a viewer to the one
that has the stream.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from http import HTTPStatus
from pathlib import Path

import msgspec
from aiohttp import web
from slipstream_protocol.channel import AsyncChannel
from slipstream_protocol.messages import Ready, ToServer

from slipstream_server.app import version
from slipstream_server.config import ServerConfig
from slipstream_server.engine.supervisor import Supervisor, engine_command
from slipstream_server.engine_status import EngineStatus
from slipstream_server.errors import EngineUnavailable, RequestError, Unavailable, UnknownSession
from slipstream_server.http.access import Guard
from slipstream_server.http.health import HealthProbes
from slipstream_server.http.rate_limit import RateLimit
from slipstream_server.http.static import page_routes
from slipstream_server.observability.merge import merge_metrics
from slipstream_server.observability.metrics import CONTENT_TYPE, FrontMetrics
from slipstream_server.rtp.sdp import read_offer
from slipstream_server.signaling.streams_api import StreamList
from slipstream_server.signaling.webrtc_api import BODY_MAX_BYTES, OfferRequest, errors_as_json
from slipstream_server.workers.engine_router import EngineRouter
from slipstream_server.workers.http_proxy import proxy
from slipstream_server.workers.placement import WorkerPlacement
from slipstream_server.workers.pool import Worker, running_workers
from slipstream_server.workers.protocol import EngineStatusChanged, WorkerStatus

logger = logging.getLogger(__name__)

_MARK = re.compile(r"(\d{1,3})~(\d{1,9})~")
_OFFER = "/api/v1/webrtc/offer"
_POSTED = ("", "/", "/{stream}")  # under /whip and /whep


class Front:
    """Knows who is where, and hands requests on.

    Args:
        config: of the server.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.workers: list[Worker] = []
        self.supervisor = Supervisor(
            engine_command(config), attach=self._attach, on_status=self._engine_changed
        )
        self._placement = WorkerPlacement(max_viewers=config.max_viewers)
        self._metrics = FrontMetrics()

    @property
    def status(self) -> EngineStatus:
        """Of the engine."""
        return self.supervisor.status

    def require(self) -> EngineRouter:
        """The engine, where a call can begin.

        Raises:
            Unavailable: if it is down, or no worker is up.
        """
        exchange = self.supervisor.require()
        self._up()
        return exchange

    async def count(self) -> Mapping[str, int]:
        """Calls now, by kind."""
        await self._refresh()
        return self._placement.count()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(_OFFER, self.offer),
            web.get("/metrics", self.metrics),
            web.route("*", "/api/v1/webrtc/{rest:.*}", self.by_id),
            *(web.post(f"/whip{path}", self.publish) for path in _POSTED),
            *(web.post(f"/whep{path}", self.watch) for path in _POSTED),
            *(web.route("*", f"/{{kind:whip|whep}}{path}", self.by_stream) for path in _POSTED),
            web.route("*", "/{kind:whip|whep}/{stream}/{rest}", self.by_id),
            web.get("/api/v1/streams", self.streams),
            web.route("*", "/api/v1/streams/{stream}/{rest}", self.by_stream),
        ]

    # ---- workers and engine come and go

    def joined(self, worker: Worker) -> None:
        self._tell_engine(worker)
        with contextlib.suppress(EngineUnavailable):
            self.supervisor.require().join(worker)

    def said(self, worker: Worker, census: WorkerStatus) -> None:
        self._placement.tell(worker.index, census)

    def left(self, worker: Worker) -> None:
        if lost := self._placement.lose(worker.index):
            logger.error("%s calls were lost with %s", lost, worker.name)
        with contextlib.suppress(EngineUnavailable):
            self.supervisor.require().leave(worker)

    def _attach(self, channel: AsyncChannel[ToServer], ready: Ready, memory: int) -> EngineRouter:
        return EngineRouter(channel, ready, memory, self.workers)

    def _engine_changed(self) -> None:
        for worker in self.workers:
            if worker.is_up:
                self._tell_engine(worker)

    def _tell_engine(self, worker: Worker) -> None:
        status = self.supervisor.status
        worker.tell(
            EngineStatusChanged(
                state=status.state,
                detail=status.detail,
                pid=status.pid,
                restarts=status.restarts,
            )
        )

    # ---- requests

    async def offer(self, request: web.Request) -> web.Response:
        """A call begins, on the worker that suits it best."""
        return await self._counted(self._offer(request))

    async def publish(self, request: web.Request) -> web.Response:
        """A publisher comes: to the worker that has the stream of this name, if one has."""
        return await self._counted(self._publish(request))

    async def watch(self, request: web.Request) -> web.Response:
        """A viewer comes: to the worker that has the stream."""
        return await self._counted(self._watch(request, request.match_info.get("stream")))

    async def _counted(self, answering: Awaitable[web.Response]) -> web.Response:
        try:
            return await answering
        except Unavailable as error:
            self._metrics.refused(error.status)
            raise

    async def _offer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            asked = msgspec.json.decode(raw, type=OfferRequest)
            offer = read_offer(asked.sdp, asked.type)
        except (RequestError, msgspec.MsgspecError, UnicodeError, RecursionError):
            return await proxy(request, self._up()[0])  # which says what is wrong with it
        answering = await self._refresh()
        if asked.resume is not None:  # the stream's worker knows it, held or not
            return await proxy(request, self._of_id(asked.resume.rpartition(".")[0]))
        if offer.sends_video:
            worker = self._for_camera(answering)
            return await self._arrive(
                request, worker, self._placement.camera_arriving(worker.index)
            )
        return await self._watch(request, asked.view)

    async def _publish(self, request: web.Request) -> web.Response:
        answering = await self._refresh()
        name = request.match_info.get("stream")
        index = None if name is None else self._placement.worker_of(name)
        worker = self._for_camera(answering) if index is None else self.workers[index]
        arriving = self._placement.camera_arriving(worker.index, stream=name)
        return await self._arrive(request, worker, arriving)

    async def _watch(self, request: web.Request, stream: str | None) -> web.Response:
        await self._refresh()
        worker = self._of_stream(stream)
        return await self._arrive(request, worker, self._placement.viewer_arriving(worker.index))

    async def by_stream(self, request: web.Request) -> web.Response:
        """Whatever concerns a stream that is there."""
        await self._refresh()
        return await proxy(request, self._of_stream(request.match_info.get("stream")))

    async def streams(self, request: web.Request) -> web.Response:
        """Those of all workers."""
        answering = await self._refresh()
        answers = await self._answers(request, answering)
        lists = [msgspec.json.decode(body, type=StreamList) for body in answers.values()]
        found = tuple(stream for one in lists for stream in one.streams)
        return web.Response(
            body=msgspec.json.encode(StreamList(streams=found)), content_type="application/json"
        )

    async def by_id(self, request: web.Request) -> web.Response:
        """Whatever concerns a call that is there, and what any worker can answer."""
        worker = self._of_id(request.match_info["rest"].rpartition("/")[2])
        return await proxy(request, worker)

    async def metrics(self, request: web.Request) -> web.Response:
        """Of the front and all workers."""
        answering = await self._refresh()
        texts = await self._answers(request, answering)
        own = self._metrics.render(
            self.supervisor.status,
            up=len(self._up_or_none()),
            restarts=sum(worker.restarts for worker in self.workers),
        )
        return web.Response(body=merge_metrics(own, texts), headers={"Content-Type": CONTENT_TYPE})

    async def _answers(self, request: web.Request, workers: list[Worker]) -> dict[int, bytes]:
        """What each of them answers, by its index; one that ends meanwhile is left out."""
        answers = await asyncio.gather(
            *(proxy(request, worker) for worker in workers), return_exceptions=True
        )
        return {
            worker.index: answer.body
            for worker, answer in zip(workers, answers, strict=True)
            if isinstance(answer, web.Response) and answer.status == HTTPStatus.OK
            if isinstance(answer.body, bytes) and answer.body  # none where HEAD asks
        }

    async def _arrive(
        self,
        request: web.Request,
        worker: Worker,
        arriving: contextlib.AbstractContextManager[None],
    ) -> web.Response:
        """Hand a new call on; it is on the way until the worker has told of it."""
        with arriving:
            answer = await proxy(request, worker)
            with contextlib.suppress(Unavailable):
                await worker.refresh()
            return answer

    async def _refresh(self) -> list[Worker]:
        """Have a census of every worker that is up; returns those that answer."""
        up = self._up_or_none()
        missing = await asyncio.gather(*(worker.refresh() for worker in up), return_exceptions=True)
        return [worker for worker, error in zip(up, missing, strict=True) if error is None]

    def _up_or_none(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_up]

    def _up(self) -> list[Worker]:
        """The workers that take calls; at least one. Raises Unavailable."""
        up = self._up_or_none()
        if not up:
            raise Unavailable("no media worker is up; try again in a moment", retry_after_s=2.0)
        return up

    def _for_camera(self, answering: list[Worker]) -> Worker:
        """The roomiest of those that answer, or where they are full, of all that are up.

        Raises:
            Unavailable: if there is no engine, no worker, or no room.
        """
        board, up = self.supervisor.require().board, self._up()
        lanes = {worker.index: len(board.lanes_of(worker.index)) for worker in up}
        quick = {worker.index for worker in answering} & set(lanes)
        return self.workers[self._placement.roomiest(lanes, quick or set(lanes))]

    def _of_stream(self, name: str | None) -> Worker:
        """The worker that has this stream; for one that nobody has, one that says so."""
        index = self._placement.worker_of(name)
        if index is not None:
            return self.workers[index]
        return self._of_id(name or "")

    def _of_id(self, id: str) -> Worker:
        """The worker that has, or had, what this id names; any for one that none can have.

        Raises:
            UnknownSession: if that was in an earlier life of the worker.
        """
        mark = _MARK.match(id)
        if mark is None or int(mark[1]) >= len(self.workers):
            return self._up()[0]
        worker = self.workers[int(mark[1])]
        if int(mark[2]) < worker.restarts or (not worker.is_up and mark[0] == worker.mark):
            raise UnknownSession(
                f"session {id!r} was lost when the process that served it ended; make a new offer "
                "to start another"
            )
        return worker


@contextlib.asynccontextmanager
async def multi_process(config: ServerConfig, page: Path) -> AsyncIterator[web.Application]:
    """The application of the front while engine and workers run behind it.

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
    throttle = RateLimit(config.offers_per_minute)
    app = web.Application(
        client_max_size=BODY_MAX_BYTES,
        middlewares=[guard.mark, errors_as_json, throttle.check, guard.check],
    )
    app.add_routes(front.routes())
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
