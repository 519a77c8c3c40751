"""The engine as a supervised child: started, waited for, watched, started again, stopped."""

import asyncio
import logging
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic

from slipstream_protocol.channel import (
    AsyncChannel,
    ChannelClosed,
    ChannelError,
    open_pair,
)
from slipstream_protocol.messages import Failed, Loading, Ready, ToServer

from slipstream_server.config import ServerConfig
from slipstream_server.engine.child_process import RestartingChild, exit_reason, terminate
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.current import ClientT, CurrentEngine
from slipstream_server.engine.watched_channel import WatchedChannel
from slipstream_server.engine_status import EngineState, EngineStatus

logger = logging.getLogger(__name__)
engine_logger = logging.getLogger("slipstream_engine")

SILENT_LOADING_S = 300.0  # a large checkpoint from a slow disk says nothing for minutes
_STOP_S = 5.0
_TAIL_LINES = 30


def engine_command(config: ServerConfig) -> tuple[str, ...]:
    """The child's command line, all but the channel."""
    command = [sys.executable, "-m", "slipstream_engine", "serve"]
    command += ["--pipeline", config.pipeline, "--preset", config.preset]
    command += ["--max-streams", str(config.max_streams)]
    command += ["--age-ms-target", str(config.age_ms_target)]
    for name in ("size", "codec", "device", "weights", "compile", "threads"):
        if value := getattr(config, name):
            command += [f"--{name}", str(value)]
    return tuple(command)


Attach = Callable[[AsyncChannel[ToServer], Ready, int], ClientT]


def attach_client(pool: Executor) -> Attach[EngineClient]:
    """For a supervisor whose engine is used in this process.

    Args:
        pool: for the client's large copies.
    """
    return partial(EngineClient.attach, pool=pool)


class Supervisor(Generic[ClientT]):
    """Keeps one engine running until told to stop.

    Args:
        command: of the child; `--channel-fd N` is added.
        attach: makes the client of an engine that is ready, from its channel, what it says of
            itself and the descriptor of its shared memory, which is then the client's.
        changed: called whenever the status has changed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        attach: Attach[ClientT],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = tuple(command)
        self._attach = attach
        self._changed = changed
        self._lives = RestartingChild(
            "the engine",
            self._one_life,
            down=lambda reason: self._say(EngineState.DOWN, reason),
        )
        self._state = EngineState.STARTING
        self._detail = "not started yet"
        self._process: asyncio.subprocess.Process | None = None
        self._engine = CurrentEngine[ClientT]()
        self._hangs = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    @property
    def status(self) -> EngineStatus:
        process = self._process
        running = process is not None and process.returncode is None
        return EngineStatus(
            state=self._state,
            detail=self._detail,
            pid=process.pid if process and running else None,
            restarts=self._lives.restarts,
            ready=self._engine.ready,
        )

    def require(self) -> ClientT:
        """The engine.

        Raises:
            EngineUnavailable: with the stage it is loading at, or the reason it is down.
        """
        return self._engine.require(self.status)

    async def running(self) -> ClientT:
        """The engine, as soon as one runs."""
        return await self._engine.running()

    async def run(self) -> None:
        """Start the engine, again and again if need be, until `stop`."""
        await self._lives.run()
        self._say(EngineState.STOPPED, "the server is stopping")

    def stop(self) -> None:
        """Begin the clean end; `run` returns when the child is gone."""
        self._lives.stopping.set()
        if self._engine.client is not None:
            self._engine.client.stop()

    async def _one_life(self) -> str:
        """Run one child from start to end; returns what to say of its end."""
        self._say(EngineState.STARTING, "the process starts")
        self._lives.is_stillborn = True
        self._tail.clear()
        self._hangs = False
        ours, theirs = open_pair()
        try:
            self._process = process = await self._spawn(theirs)
        except OSError as error:
            ours.close()
            return f"the engine cannot be started: {error}"
        finally:
            theirs.close()
        channel = WatchedChannel(ours)
        reason = "the engine was stopped"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relay_output(process), name="engine output")
            serving = tasks.create_task(self._serve(channel), name="engine serve")
            stopped = tasks.create_task(self._lives.stopping.wait(), name="engine stop")
            try:
                await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
                if self._engine.client is not None and not serving.done():
                    await asyncio.wait((serving,), timeout=_STOP_S)
                if serving.done():
                    reason = serving.result()
            finally:
                serving.cancel()
                stopped.cancel()
                channel.close()
                if self._hangs:
                    process.kill()
                await terminate(process)
        reason = self._account(process, reason)
        self._engine.lose(reason)
        return reason

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            *("--channel-fd", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is the server's to handle
        )

    async def _serve(self, channel: WatchedChannel) -> str:
        try:
            ready = await self._wait_ready(channel)
        except TimeoutError:
            return f"the engine has said nothing for {SILENT_LOADING_S:g} s while it was loading"
        except (ChannelClosed, ChannelError) as error:
            return str(error)
        if isinstance(ready, Failed):
            return f"the engine did not start: {ready.reason}"
        (descriptor,) = channel.take_descriptors(1)
        if "--size" not in self._command:
            # one that chooses its size by what it measures must not choose anew under open calls
            size = f"{ready.geometry.width_px}x{ready.geometry.height_px}"
            self._command += ("--size", size)
        client = self._attach(channel, ready, descriptor)
        self._engine.begin(client)
        self._lives.is_stillborn = False
        self._say(EngineState.READY, ready.note)
        try:
            return await self._until_it_hangs(client, channel)
        finally:
            self._engine.end(client)
            self._say(EngineState.DOWN, "it has just ended")

    async def _until_it_hangs(self, client: ClientT, channel: WatchedChannel) -> str:
        """Until the engine is gone, or ought to be; returns why."""
        serving = asyncio.create_task(client.serve(), name="engine client")
        silence = asyncio.create_task(channel.silence(), name="engine pulse")
        try:
            await asyncio.wait((serving, silence), return_when=asyncio.FIRST_COMPLETED)
            self._hangs = not serving.done()
            return silence.result() if self._hangs else serving.result()
        finally:
            serving.cancel()
            silence.cancel()

    async def _wait_ready(self, channel: AsyncChannel[ToServer]) -> Ready | Failed:
        while True:
            async with asyncio.timeout(SILENT_LOADING_S):
                message = await channel.receive()
            match message:
                case Loading(stage=stage):
                    self._say(EngineState.STARTING, stage)
                case Ready() | Failed():
                    return message

    async def _relay_output(self, process: asyncio.subprocess.Process) -> None:
        """What the engine prints goes to our log, and its last lines are kept."""
        assert process.stdout is not None
        rest = ""
        while data := await process.stdout.read(4096):
            *lines, rest = (rest + data.decode(errors="replace")).replace("\r", "\n").split("\n")
            for line in filter(None, lines):
                self._tail.append(line)
                engine_logger.info("%s", line)
        if rest:
            self._tail.append(rest)

    def _account(self, process: asyncio.subprocess.Process, reason: str) -> str:
        if self._hangs or reason.startswith("the engine did not start"):
            return reason
        ended = exit_reason("the engine", process)
        if process.returncode is not None and process.returncode < 0:
            return ended
        last = next((line for line in reversed(self._tail) if line.strip()), "it printed nothing")
        return f"{ended}: {last.strip()}"

    def _say(self, state: EngineState, detail: str) -> None:
        if state is not EngineState.DOWN and (state, detail) != (self._state, self._detail):
            logger.info("engine %s: %s", state, detail)
        self._state, self._detail = state, detail
        self._changed()
