"""The media workers as supervised children of the front."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import aiohttp
from slipstream_protocol.channel import AsyncChannel, ChannelClosed, ChannelError, open_pair

from slipstream_server.config import ServerConfig
from slipstream_server.engine.child_process import RestartingChild, exit_reason, terminate
from slipstream_server.errors import Unavailable
from slipstream_server.workers.protocol import (
    Drain,
    StartWorker,
    StatusRequest,
    ToFront,
    WorkerMessage,
    WorkerStatus,
)

logger = logging.getLogger(__name__)

RELAY_S = 30.0  # an answer may wait for a lane, for the engine and for a silent STUN server
_ASK_S = 2.0
_START_S = 60.0
_SILENT_S = 15.0  # a loop that has not turned for so long holds up every call on it
_DRAIN_S = 8.0
_BACKLOG = 128
_MAX_REQUESTS = 256
_RETRY_S = 2.0


class WorkerObserver(Protocol):
    """Who is told of workers that come and go."""

    def joined(self, worker: "Worker") -> None: ...
    def said(self, worker: "Worker", census: WorkerStatus) -> None: ...
    def left(self, worker: "Worker") -> None: ...


class Worker:
    """One worker, through all of its lives.

    Args:
        index: counted from 0.
        config: of the server.
        folder: where its sockets are.
        lobby: told when it comes and goes.
    """

    def __init__(
        self, index: int, config: ServerConfig, folder: Path, lobby: WorkerObserver
    ) -> None:
        self.index = index
        self.name = f"media worker {index}"
        self.http: aiohttp.ClientSession | None = None
        self.pid: int | None = None
        self._config = config
        self._folder = folder
        self._lobby = lobby
        self._trunk: AsyncChannel[ToFront] | None = None
        self._asked: deque[asyncio.Future[None]] = deque()
        self._end_reason: str | None = None
        self._detail = "it is starting"
        self._lives = RestartingChild(self.name, self._one_life, on_down=self._down)

    @property
    def is_up(self) -> bool:
        """Whether it takes calls."""
        return self.http is not None

    @property
    def mark(self) -> str:
        """What the ids of its present life begin with; no other life of any worker has the same."""
        return f"{self.index}~{self._lives.restarts}~"

    @property
    def restarts(self) -> int:
        return self._lives.restarts

    def require(self) -> aiohttp.ClientSession:
        """Its HTTP side.

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
        """Until `leave`, and it is gone."""
        await self._lives.run()

    def leave(self) -> None:
        """Ask it to end its calls and go."""
        self._lives.stopping.set()
        self.tell(Drain())

    def tell(self, message: WorkerMessage, descriptors: Sequence[int] = ()) -> None:
        """Say something; a worker that takes nothing any more is hung up on."""
        if self._trunk is None:
            return
        try:
            self._trunk.send(message, descriptors)
        except ChannelClosed as error:
            self.hang_up(str(error))

    def hang_up(self, reason: str) -> None:
        """End this life of it: it cannot be worked with."""
        if self._trunk is not None:
            self._end_reason = f"{self.name} is ended: {reason}"
            self._trunk.close()

    async def refresh(self) -> None:
        """Have its next census in, which tells of everything it has answered up to now.

        Raises:
            Unavailable: if it is down, or does not answer in time.
        """
        self.require()
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self.tell(StatusRequest())
        try:
            async with asyncio.timeout(_ASK_S):
                await asked
        except TimeoutError as error:
            raise Unavailable(
                f"{self.name} has not answered within {_ASK_S:g} s; try again",
                retry_after_s=_RETRY_S,
            ) from error

    def _down(self, reason: str) -> None:
        self._detail = reason

    async def _one_life(self) -> str:
        self._detail = "it is starting"
        self._end_reason = None
        path = self._folder / self.mark
        ours, theirs = open_pair()
        with _listener(path) as listener:
            with theirs:
                process = await self._spawn(theirs)
            self.pid = process.pid
            self._trunk = trunk = AsyncChannel[ToFront](ours, ToFront, other=self.name)
            begin = StartWorker(config=self._config, index=self.index, mark=self.mark)
            self.tell(begin, [listener.fileno()])
        try:
            reason = await self._until_it_ends(trunk, path)
        finally:
            trunk.close()
            await terminate(process)
            self.pid = None
            path.unlink(missing_ok=True)
        return self._end_reason or reason or exit_reason(self.name, process)

    async def _until_it_ends(self, trunk: AsyncChannel[ToFront], path: Path) -> str | None:
        """Work with it for this life, or until it has had its time to leave."""
        stopping = self._lives.stopping
        if stopping.is_set():
            self.leave()  # it was said before anybody could hear it
        async with _http(path) as http, asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self._hear(trunk, http), name=f"hear {self.name}")
            stopped = tasks.create_task(stopping.wait(), name=f"stop {self.name}")
            await asyncio.wait((hearing, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                await asyncio.wait((hearing,), timeout=_DRAIN_S)
            hearing.cancel()
            stopped.cancel()
        return hearing.result() if not hearing.cancelled() else None

    async def _hear(self, trunk: AsyncChannel[ToFront], http: aiohttp.ClientSession) -> str | None:
        """Take in what it says until it is gone; returns why it has to go, if it has."""
        try:
            while True:
                census = await self._next(trunk)
                self._lobby.said(self, census)
                if not self.is_up:
                    self.http = http
                    logger.info("%s takes calls", self.name)
                    self._lobby.joined(self)
                elif self._asked and not (asked := self._asked.popleft()).done():
                    asked.set_result(None)
        except TimeoutError:
            return f"{self.name} has said nothing for too long"
        except ChannelClosed:
            return None
        except ChannelError as error:
            return f"{self.name} breaks the protocol: {error}"
        finally:
            self._trunk = None
            if self.is_up:
                self.http = None
                self._lobby.left(self)
            self._give_up_asking()

    async def _next(self, trunk: AsyncChannel[ToFront]) -> WorkerStatus:
        """Its next census, asked for now and then.

        Raises:
            TimeoutError: if it is silent.
        """
        async with asyncio.timeout(_SILENT_S if self.is_up else _START_S):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_S):
                        return await trunk.receive()
                if self.is_up and not self._asked:
                    self._asked.append(asyncio.get_running_loop().create_future())
                    self.tell(StatusRequest())

    def _give_up_asking(self) -> None:
        while self._asked:
            asked = self._asked.popleft()
            if not asked.done():
                asked.set_exception(
                    Unavailable(f"{self.name} has just ended; try again", retry_after_s=_RETRY_S)
                )
                asked.exception()  # seen, also where nobody waits for it

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream_server", "worker"),
            *("--channel-fd", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is the front's to handle
        )


@contextlib.asynccontextmanager
async def running_workers(
    config: ServerConfig, lobby: WorkerObserver
) -> AsyncIterator[list[Worker]]:
    """As many supervised workers as the settings say, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="slipstream-") as folder:
        workers = [
            Worker(index, config, Path(folder), lobby) for index in range(config.media_workers)
        ]
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(worker.run(), name=worker.name)
            try:
                yield workers
            finally:
                for worker in workers:
                    worker.leave()


@contextlib.contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    path.parent.mkdir(mode=0o700, exist_ok=True)  # a worker that takes us for dead removes it
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        yield listener


def _http(path: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(str(path), limit=_MAX_REQUESTS),
        timeout=aiohttp.ClientTimeout(total=RELAY_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
