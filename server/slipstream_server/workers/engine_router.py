"""The front's end of a running engine: what is said is passed on between it and the workers.

Pixels do not come this way: every worker has the engine's shared memory mapped itself.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable

from slipstream_protocol.channel import AsyncChannel, ChannelClosed, ChannelError, open_pair
from slipstream_protocol.messages import Failed, Ready, Stop, ToEngine, ToServer

from slipstream_server.errors import Unavailable
from slipstream_server.workers.lane_table import LaneTable, LaneViolation
from slipstream_server.workers.pool import Worker
from slipstream_server.workers.protocol import EngineConnected, EngineDisconnected

logger = logging.getLogger(__name__)


class EngineRouter:
    """Lives as long as one engine process.

    Args:
        channel: after `Ready` has been received on it.
        ready: what the engine said of itself.
        memory: the descriptor that came with it; owned from now on.
        workers: all that there are.
    """

    def __init__(
        self, channel: AsyncChannel[ToServer], ready: Ready, memory: int, workers: list[Worker]
    ) -> None:
        self.ready = ready
        self.board = LaneTable(ready.lanes, len(workers))
        self._channel = channel
        self._memory = memory
        self._workers = workers
        self._lines: dict[int, AsyncChannel[ToEngine]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def serve(self) -> str:
        """Pass on what is said until the engine is gone; returns why. Then comes `lose`."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self._join_all(self._workers)
                while True:
                    self._from_engine(await self._channel.receive())
            except (ChannelClosed, ChannelError) as error:
                return str(error)
            finally:
                self._tasks = None
                for line in self._lines.values():
                    line.close()

    def join(self, worker: Worker) -> None:
        """Give a worker that is up its line, as soon as nothing of an earlier life is left."""
        tasks, index = self._tasks, worker.index
        if tasks is None or index in self._lines or not self.board.is_clear(index):
            return
        ours, theirs = open_pair()
        self._lines[index] = line = AsyncChannel[ToEngine](ours, ToEngine, other=worker.name)
        with theirs:
            lanes = self.board.lanes_of(index)
            worker.tell(
                EngineConnected(ready=self.ready, lanes=lanes), [theirs.fileno(), self._memory]
            )
        tasks.create_task(self._from_worker(worker, line), name=f"line of {worker.name}")

    def leave(self, worker: Worker) -> None:
        """A worker is gone: give its lanes back."""
        line = self._lines.pop(worker.index, None)
        if line is not None:
            line.close()
            for close in self.board.hang_up(worker.index):
                self._send(close)

    def stop(self) -> None:
        """Ask the engine to finish and leave."""
        self._send(Stop())

    def on_engine_lost(self, reason: str) -> None:
        """Tell every worker that the engine is gone; let go of the shared memory."""
        for worker in self._workers:
            worker.tell(EngineDisconnected(reason=reason))
        os.close(self._memory)

    def _join_all(self, workers: Iterable[Worker]) -> None:
        for worker in workers:
            if worker.is_up:
                self.join(worker)

    async def _from_worker(self, worker: Worker, line: AsyncChannel[ToEngine]) -> None:
        try:
            while True:
                message = await line.receive()
                if self.board.from_worker(worker.index, message):
                    self._send(message)
        except (LaneViolation, ChannelError) as error:
            worker.hang_up(f"it breaks the protocol: {error}")
        except ChannelClosed:
            if self._lines.get(worker.index) is line and self._tasks is not None:
                self.leave(worker)
                with contextlib.suppress(Unavailable):  # it is ending by itself
                    await worker.refresh()
                    worker.hang_up("it has let go of its line to the engine")

    def _from_engine(self, message: ToServer) -> None:
        index = self.board.from_engine(message)
        if index is None:
            if isinstance(message, Failed):
                logger.error("the engine has failed: %s", message.reason)
            self._join_all(self._workers)  # one may have waited for this word
        elif line := self._lines.get(index):
            try:
                line.send(message)
            except ChannelClosed as error:
                self._workers[index].hang_up(str(error))

    def _send(self, message: ToEngine) -> None:
        """Send, or hang up on an engine that takes nothing any more; `serve` then ends."""
        try:
            self._channel.send(message)
        except ChannelClosed as error:
            logger.warning("%s not sent: %s", type(message).__name__, error)
            self._channel.close()
