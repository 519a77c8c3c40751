"""The front of a server with several media workers: runs the engine, finds each call's worker.

    caller -- HTTP --> front -- HTTP on a Unix socket --> worker 0 .. n-1
    caller <------------------ media (UDP) -------------> worker
    engine <------- messages -> front <- messages ------> worker

Pixels lie in shared memory that engine and workers map. A session never changes its worker.
The worker of a session is found by the prefix of its id, that of a stream by its name; a new
publisher goes to the worker with the fewest calls.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Collection

from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.messages import Ready, ToServer

from slipstream_server.config import ServerConfig
from slipstream_server.engine.supervisor import Supervisor, engine_command
from slipstream_server.engine_status import EngineStatus
from slipstream_server.errors import EngineUnavailable, Unavailable, UnknownSession
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.workers.engine_router import EngineRouter
from slipstream_server.workers.placement import WorkerPlacement
from slipstream_server.workers.pool import Worker
from slipstream_server.workers.protocol import EngineStatusChanged, WorkerStatus

logger = logging.getLogger(__name__)

_ID_PREFIX = re.compile(r"(\d{1,3})~(\d{1,9})~")  # worker, and its restarts


class Front:
    """The engine, the workers, and which worker each call belongs to.

    Args:
        config: of the server.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.workers: list[Worker] = []
        self.supervisor = Supervisor(
            engine_command(config), attach=self._attach, on_status=self._on_engine_status
        )
        self.placement = WorkerPlacement(max_subscribers=config.max_viewers)

    @property
    def status(self) -> EngineStatus:
        """Of the engine."""
        return self.supervisor.status

    def require(self) -> EngineRouter:
        """The engine, if a call can begin.

        Raises:
            Unavailable: if it is down, or no worker is up.
        """
        router = self.supervisor.require()
        self.require_workers()
        return router

    async def count(self) -> CallCounts:
        """The calls of all workers and their held streams now."""
        await self.refresh()
        return self.placement.count()

    # ---- the workers

    def on_up(self, worker: Worker) -> None:
        self._send_engine_status(worker)
        with contextlib.suppress(EngineUnavailable):
            self.supervisor.require().connect_worker(worker)

    def on_status(self, worker: Worker, status: WorkerStatus) -> None:
        self.placement.update_status(worker.index, status)

    def on_down(self, worker: Worker) -> None:
        if lost := self.placement.remove(worker.index):
            logger.error("%s calls were lost with %s", lost, worker.name)
        with contextlib.suppress(EngineUnavailable):
            self.supervisor.require().disconnect_worker(worker)

    async def refresh(self) -> list[Worker]:
        """Fetch the status of every worker that is up; returns those that answer."""
        up = self.workers_up()
        errors = await asyncio.gather(*(worker.refresh() for worker in up), return_exceptions=True)
        return [worker for worker, error in zip(up, errors, strict=True) if error is None]

    def workers_up(self) -> list[Worker]:
        """The workers that accept calls."""
        return [worker for worker in self.workers if worker.is_up]

    def require_workers(self) -> list[Worker]:
        """The workers that accept calls, at least one. Raises Unavailable if there is none."""
        up = self.workers_up()
        if not up:
            raise Unavailable("no media worker is up; try again in a moment", retry_after_s=2.0)
        return up

    # ---- the engine

    def _attach(self, channel: AsyncChannel[ToServer], ready: Ready, memory: int) -> EngineRouter:
        return EngineRouter(channel, ready, memory, self.workers)

    def _on_engine_status(self) -> None:
        for worker in self.workers_up():
            self._send_engine_status(worker)

    def _send_engine_status(self, worker: Worker) -> None:
        status = self.supervisor.status
        worker.send(
            EngineStatusChanged(
                state=status.state,
                detail=status.detail,
                pid=status.pid,
                restarts=status.restarts,
            )
        )

    # ---- which worker

    def worker_for_publisher(self, responsive: Collection[Worker]) -> Worker:
        """The worker for a new publisher.

        Args:
            responsive: workers that have just answered; the others are a second choice.

        Raises:
            Unavailable: if there is no engine, no worker, or no room.
        """
        lane_table, up = self.supervisor.require().lane_table, self.require_workers()
        lanes = {worker.index: len(lane_table.lanes_of(worker.index)) for worker in up}
        index = self.placement.worker_for_publisher(lanes, {worker.index for worker in responsive})
        return self.workers[index]

    def worker_of_stream(self, name: str | None) -> Worker:
        """The worker that has this stream, or the newest if None; else one that answers 404."""
        index = self.placement.worker_of(name)
        if index is not None:
            return self.workers[index]
        return self.worker_of_id(name or "")

    def worker_of_id(self, id: str) -> Worker:
        """The worker that has, or had, this session or stream; any worker for an id of none.

        Raises:
            UnknownSession: if the worker's process that had it has ended.
        """
        prefix = _ID_PREFIX.match(id)
        if prefix is None or int(prefix[1]) >= len(self.workers):
            return self.require_workers()[0]
        worker = self.workers[int(prefix[1])]
        if int(prefix[2]) < worker.restarts or (not worker.is_up and prefix[0] == worker.id_prefix):
            raise UnknownSession(
                f"session {id!r} was lost when the process that served it ended; make a new offer "
                "to start another"
            )
        return worker
