"""Passes messages on between one engine process and the worker processes.

Pixels do not pass here: every worker maps the engine's shared memory itself.
"""

import asyncio
import contextlib
import logging
import os

from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.channel import ChannelClosed, open_pair
from slipstream_protocol.framing import ChannelError
from slipstream_protocol.messages import Failed, Ready, Stop, ToEngine, ToServer

from slipstream_server.errors import Unavailable
from slipstream_server.workers.lane_table import LaneTable, LaneViolation
from slipstream_server.workers.pool import Worker
from slipstream_server.workers.protocol import EngineConnected, EngineDisconnected

logger = logging.getLogger(__name__)


class EngineRouter:
    """The front's end of one engine process; lives as long as that.

    Args:
        channel: after `Ready` has been received on it.
        ready: the engine's description of itself.
        memory: the descriptor that came with it; owned from now on.
        workers: all of them, up or not.
    """

    def __init__(
        self, channel: AsyncChannel[ToServer], ready: Ready, memory: int, workers: list[Worker]
    ) -> None:
        self.ready = ready
        self.lane_table = LaneTable(ready.lanes, len(workers))
        self._engine_channel = channel
        self._memory = memory
        self._workers = workers
        self._worker_channels: dict[int, AsyncChannel[ToEngine]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def serve(self) -> str | None:
        """Pass messages on until the engine's channel closes; `on_engine_lost` follows.

        Returns:
            why the engine must end; None where the channel was closed.
        """
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self._connect_workers()
                while True:
                    self._route_from_engine(await self._engine_channel.receive())
            except ChannelClosed:
                return None
            except ChannelError as error:
                return f"the engine breaks the protocol: {error}"
            finally:
                self._tasks = None
                for channel in self._worker_channels.values():
                    channel.close()

    def connect_worker(self, worker: Worker) -> None:
        """Give a worker that is up its channel to the engine.

        Nothing is done while the engine still has streams of the worker's dead predecessor: it is
        tried again whenever the engine may have closed one.
        """
        tasks, index = self._tasks, worker.index
        if tasks is None or index in self._worker_channels or not self.lane_table.is_clear(index):
            return
        ours, theirs = open_pair()
        channel = AsyncChannel[ToEngine](ours, ToEngine, other=worker.name)
        self._worker_channels[index] = channel
        with theirs:
            lanes = self.lane_table.lanes_of(index)
            worker.send(
                EngineConnected(ready=self.ready, lanes=lanes), [theirs.fileno(), self._memory]
            )
        tasks.create_task(
            self._serve_worker(worker, channel), name=f"engine channel of {worker.name}"
        )

    def disconnect_worker(self, worker: Worker) -> None:
        """A worker is gone: close its streams on the engine."""
        channel = self._worker_channels.pop(worker.index, None)
        if channel is not None:
            channel.close()
            for close in self.lane_table.abandon(worker.index):
                self._send(close)

    def stop(self) -> None:
        """Ask the engine to finish and exit."""
        self._send(Stop())

    def on_engine_lost(self, reason: str) -> None:
        """Report the engine's end to every worker; close the shared memory."""
        for worker in self._workers:
            worker.send(EngineDisconnected(reason=reason))
        os.close(self._memory)

    def _connect_workers(self) -> None:
        for worker in self._workers:
            if worker.is_up:
                self.connect_worker(worker)

    async def _serve_worker(self, worker: Worker, channel: AsyncChannel[ToEngine]) -> None:
        try:
            while True:
                message = await channel.receive()
                if self.lane_table.on_worker_message(worker.index, message):
                    self._send(message)
        except (LaneViolation, ChannelError) as error:
            worker.disconnect(f"it breaks the protocol: {error}")
        except ChannelClosed:
            if self._worker_channels.get(worker.index) is channel and self._tasks is not None:
                self.disconnect_worker(worker)
                with contextlib.suppress(Unavailable):  # raised if it is exiting
                    await worker.refresh()
                    worker.disconnect("it has closed its channel to the engine")

    def _route_from_engine(self, message: ToServer) -> None:
        index = self.lane_table.on_engine_message(message)
        if index is None:
            if isinstance(message, Failed):
                logger.error("the engine has failed: %s", message.reason)
            self._connect_workers()  # it may have closed the last stream of a dead worker
        elif channel := self._worker_channels.get(index):
            try:
                channel.send(message)
            except ChannelClosed as error:
                self._workers[index].disconnect(str(error))

    def _send(self, message: ToEngine) -> None:
        """Send; an engine that no longer reads gets its channel closed, which ends `serve`."""
        try:
            self._engine_channel.send(message)
        except ChannelClosed as error:
            logger.warning("%s not sent: %s", type(message).__name__, error)
            self._engine_channel.close()
