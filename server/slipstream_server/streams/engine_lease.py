"""A stream's hold on the engine: a lane, and the next lane whenever an engine is lost."""

import asyncio
import logging
from collections.abc import Callable

from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import PipelineError
from slipstream_server.control.update_queue import SendEvent, UpdateQueue, in_force
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import StreamPromise
from slipstream_server.errors import RequestError, Unavailable
from slipstream_server.frames.size_choice import same_sizes
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.streams.chunk_pipe import ChunkPipe
from slipstream_server.streams.ports import EngineProvider

logger = logging.getLogger(__name__)

_FAILED_ENGINES_MAX = 3  # in a row without a chunk of this stream: then the stream is the cause


class EngineLease:
    """Keeps one stream open on an engine, across restarts, with the parameters in force.

    Args:
        id: of the stream.
        engines: the running engine, and the ones after it.
        client: the engine as it runs now.
        promise: that the stream is given by every engine.
        monitor: of the stream's service levels.
        metrics: of the whole server.
        send: sends an event about parameters to the publisher.
        on_paused: called when an update has paused the stream, or has ended the pause.
        on_lost: called when the engine is lost; another one is awaited.
        on_reopened: called when the stream is open on the next one.
        end: called with the reason if the stream cannot go on.
    """

    def __init__(
        self,
        id: str,
        engines: EngineProvider,
        client: EngineClient,
        *,
        promise: StreamPromise,
        monitor: SloMonitor,
        metrics: Metrics,
        send: SendEvent,
        on_paused: Callable[[bool], None],
        on_lost: Callable[[], None],
        on_reopened: Callable[[], None],
        end: Callable[[str], None],
    ) -> None:
        self.ready = client.ready
        self.lanes = client.lanes
        self.chunk_pipe = ChunkPipe(id, client.ready, monitor, metrics, self, promise=promise)
        self._id = id
        self._engines = engines
        self._client = client
        self._send = send
        self._on_paused = on_paused
        self._on_lost = on_lost
        self._on_reopened = on_reopened
        self._end = end
        self._opened_updates: UpdateQueue | None = None
        self._lost = asyncio.Event()  # set while the stream has no engine
        self._failed_engines = 0

    @property
    def updates(self) -> UpdateQueue:
        """The stream's parameters; only once it is open."""
        assert self._opened_updates is not None, "a stream is opened before it is used"
        return self._opened_updates

    async def open(self, parameters: Parameters, *, spare_lanes: tuple[int, ...] = ()) -> None:
        """Take a lane of the engine that runs now.

        Args:
            spare_lanes: see `OpenStream`.

        Raises:
            RequestError, Unavailable: if there is none; the lease holds nothing then.
        """
        await self.chunk_pipe.open(self._client, parameters, spare_lanes=spare_lanes)
        self._opened_updates = UpdateQueue(
            current=in_force(self.ready.defaults.merged(parameters)),
            understood=self.chunk_pipe.understood,
            apply=self.chunk_pipe.update,
            send=self._send,
        )
        self._apply_pause()

    async def keep(self) -> None:
        """Open the stream anew, with the parameters in force, whenever its engine is lost."""
        while True:
            await self._lost.wait()
            client = await self._engines.running()
            try:
                self._check_sizes(client)
                await self.chunk_pipe.open(client, self.updates.current, is_return=True)
            except RequestError as error:
                self._end(str(error))
                return
            except Unavailable as error:
                logger.info("stream %s is not opened yet: %s", self._id, error)
                await asyncio.sleep(error.retry_after_s)
                continue
            self._lost.clear()
            logger.info("stream %s is open again, epoch %d", self._id, self.chunk_pipe.epoch)
            self.updates.on_engine_opened(understood=self.chunk_pipe.understood)
            self._on_reopened()

    # ---- events of the chunk pipe

    def on_applied(self, applied: Applied) -> None:
        self.updates.on_applied(applied)
        self._apply_pause()

    def on_update_refused(self, refused: UpdateRefused) -> None:
        self.updates.on_refused(refused)

    def on_lost(self, reason: str) -> None:
        if self._opened_updates is None:
            return  # `open` raises
        is_innocent = self.chunk_pipe.epoch_chunks or self.chunk_pipe.is_idle
        self._failed_engines = 0 if is_innocent else self._failed_engines + 1
        if self._failed_engines >= _FAILED_ENGINES_MAX:
            self.chunk_pipe.send(PipelineError(error=reason))
            self._end(
                f"{reason}, {_FAILED_ENGINES_MAX} times in a row before a picture of this stream "
                "came"
            )
            return
        logger.warning("stream %s has lost its engine: %s", self._id, reason)
        self.updates.on_engine_lost()
        self._lost.set()
        self._on_lost()
        self.chunk_pipe.send(PipelineError(error=reason))

    def _apply_pause(self) -> None:
        is_paused = self.updates.current.paused is True
        if is_paused != self.chunk_pipe.is_paused:
            self.chunk_pipe.pause(is_paused)
            self._on_paused(is_paused)

    def _check_sizes(self, client: EngineClient) -> None:
        """Raise RequestError if the new engine offers other sizes of pictures."""
        if not same_sizes(client.ready, self.ready):
            raise RequestError(
                "the engine was started again with other picture sizes; make a new call"
            )
