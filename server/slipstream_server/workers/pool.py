"""The media workers as the front sees them: supervised child processes that accept calls."""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import aiohttp
from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.channel import ChannelClosed, open_pair
from slipstream_protocol.framing import ChannelError

from slipstream_server.config import ServerConfig
from slipstream_server.engine.child_environment import child_environment
from slipstream_server.engine.child_process import (
    RestartingChild,
    background,
    exit_reason,
    terminate,
)
from slipstream_server.errors import Unavailable
from slipstream_server.workers.protocol import (
    Drain,
    StartWorker,
    ToFront,
    WorkerMessage,
    WorkerStatus,
)
from slipstream_server.workers.status_requests import STATUS_TIMEOUT_S, StatusRequests

logger = logging.getLogger(__name__)

PROXY_TIMEOUT_S = 30.0  # an answer may wait for a lane, the engine and a silent STUN server
_START_S = 60.0
_SILENT_S = 15.0  # a loop that is blocked for so long stalls every call on it
_DRAIN_S = 8.0
_BACKLOG = 128
_MAX_REQUESTS = 256
_RETRY_S = 2.0


class WorkerObserver(Protocol):
    """Is called when a worker comes up, reports its status, and goes down."""

    def on_up(self, worker: "Worker") -> None: ...
    def on_status(self, worker: "Worker", status: WorkerStatus) -> None: ...
    def on_down(self, worker: "Worker") -> None: ...


class Worker:
    """One media worker, across restarts of its process.

    Args:
        index: counted from 0.
        config: of the server.
        folder: where its Unix sockets are.
        observer: called when it comes up, reports its status, and goes down.
    """

    def __init__(
        self, index: int, config: ServerConfig, folder: Path, observer: WorkerObserver
    ) -> None:
        self.index = index
        self.name = f"media worker {index}"
        self.http: aiohttp.ClientSession | None = None
        self.pid: int | None = None
        self._config = config
        self._folder = folder
        self._observer = observer
        self._channel: AsyncChannel[ToFront] | None = None
        self._status_requests = StatusRequests(self.name, self.send)  # of the present process
        self._disconnect_reason: str | None = None
        self._detail = "it is starting"
        self._child = RestartingChild(self.name, self._run_once, on_down=self._set_detail)

    @property
    def is_up(self) -> bool:
        """Whether it accepts calls."""
        return self.http is not None

    @property
    def id_prefix(self) -> str:
        """What session ids of its present process begin with; unique among all processes."""
        return f"{self.index}~{self._child.restarts}~"

    @property
    def restarts(self) -> int:
        return self._child.restarts

    def require(self) -> aiohttp.ClientSession:
        """The HTTP client to the worker.

        Raises:
            Unavailable: if it is down.
        """
        if self.http is None:
            raise Unavailable(
                f"{self.name} is not there ({self._detail}); try again in a moment",
                retry_after_s=_RETRY_S,
            )
        return self.http

    async def run(self) -> None:
        """Run the process, and restart it whenever it ends, until `stop`."""
        await self._child.run()

    def stop(self) -> None:
        """Ask the process to end its calls and exit."""
        self._child.stopping.set()
        self.send(Drain())

    def send(self, message: WorkerMessage, descriptors: Sequence[int] = ()) -> None:
        """Send a message, if the process runs; one that no longer reads is disconnected."""
        if self._channel is None:
            return
        try:
            self._channel.send(message, descriptors)
        except ChannelClosed as error:
            self.disconnect(str(error))

    def disconnect(self, reason: str) -> None:
        """Close the channel, which ends the process; the worker restarts."""
        if self._channel is not None:
            self._disconnect_reason = f"{self.name} is ended: {reason}"
            self._channel.close()

    async def refresh(self) -> None:
        """Have the observer called with a fresh status, which covers every request answered so far.

        Raises:
            Unavailable: if it is down, or does not answer in time.
        """
        self.require()
        await self._status_requests.answer()

    def _set_detail(self, reason: str) -> None:
        self._detail = reason

    async def _run_once(self) -> str:
        """Run one process from start to end; returns the reason of its end."""
        self._detail = "it is starting"
        self._disconnect_reason = None
        self._status_requests = StatusRequests(self.name, self.send)
        path = self._folder / self.id_prefix
        ours, theirs = open_pair()
        with _listener(path) as listener:
            with theirs:
                process = await self._spawn(theirs)
            self.pid = process.pid
            self._channel = channel = AsyncChannel[ToFront](ours, ToFront, other=self.name)
            start = StartWorker(config=self._config, index=self.index, id_prefix=self.id_prefix)
            self.send(start, [listener.fileno()])
        try:
            reason = await self._serve_until_stopped(channel, path)
        finally:
            channel.close()
            await terminate(process)
            self.pid = None
            path.unlink(missing_ok=True)
        return self._disconnect_reason or reason or exit_reason(self.name, process)

    async def _serve_until_stopped(self, channel: AsyncChannel[ToFront], path: Path) -> str | None:
        """Serve until the process ends; after `stop` it has `_DRAIN_S` to end its calls."""
        stopping = self._child.stopping
        if stopping.is_set():
            self.stop()  # there was no channel yet when it was called
        async with (
            _http_client(path) as http,
            background(self._serve(channel, http), name=f"serve {self.name}") as serving,
            background(stopping.wait(), name=f"stop {self.name}") as stopped,
        ):
            await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await asyncio.wait((serving,), timeout=_DRAIN_S)
            return serving.result() if serving.done() else None

    async def _serve(
        self, channel: AsyncChannel[ToFront], http: aiohttp.ClientSession
    ) -> str | None:
        """Receive statuses until the process ends.

        Returns:
            why it must be ended; None where it has closed the channel.
        """
        try:
            while True:
                status = await self._next_status(channel)
                self._observer.on_status(self, status)
                self._status_requests.on_answer(status.answers)
                if not self.is_up:
                    self.http = http
                    logger.info("%s takes calls", self.name)
                    self._observer.on_up(self)
        except TimeoutError:
            return f"{self.name} has sent nothing for too long"
        except ChannelClosed:
            return None
        except ChannelError as error:
            return f"{self.name} breaks the protocol: {error}"
        finally:
            self._channel = None
            if self.is_up:
                self.http = None
                self._observer.on_down(self)
            self._status_requests.on_end()

    async def _next_status(self, channel: AsyncChannel[ToFront]) -> WorkerStatus:
        """The next status; where none comes, one is requested of a worker that is up.

        Raises:
            TimeoutError: if the worker hangs.
        """
        async with asyncio.timeout(_SILENT_S if self.is_up else _START_S):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STATUS_TIMEOUT_S):
                        return await channel.receive()
                if self.is_up and self._status_requests.all_answered:
                    self._status_requests.request()

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream_server", "worker"),
            *("--channel-fd", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the front's to handle
        )


@contextlib.asynccontextmanager
async def running_workers(
    config: ServerConfig, observer: WorkerObserver
) -> AsyncIterator[list[Worker]]:
    """`config.media_workers` supervised workers, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="slipstream-") as folder:
        workers = [
            Worker(index, config, Path(folder), observer) for index in range(config.media_workers)
        ]
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(worker.run(), name=worker.name)
            try:
                yield workers
            finally:
                for worker in workers:
                    worker.stop()


@contextlib.contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    path.parent.mkdir(mode=0o700, exist_ok=True)  # a worker removes it when it loses its front
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        yield listener


def _http_client(path: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(str(path), limit=_MAX_REQUESTS),
        timeout=aiohttp.ClientTimeout(total=PROXY_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
