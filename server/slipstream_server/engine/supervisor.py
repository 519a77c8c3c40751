"""The engine as a supervised child process: started, watched for hangs, restarted, stopped."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from slipstream_protocol.arena import require_sealed
from slipstream_protocol.channel import ChannelClosed, open_pair
from slipstream_protocol.framing import ChannelError
from slipstream_protocol.messages import Failed, Loading, Ready

from slipstream_server.config import ServerConfig
from slipstream_server.engine.child_environment import child_environment
from slipstream_server.engine.child_process import (
    RestartingChild,
    background,
    exit_reason,
    terminate,
)
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.current import CurrentEngine
from slipstream_server.engine.output_relay import OutputRelay
from slipstream_server.engine.watched_channel import WatchedChannel
from slipstream_server.engine_status import EngineState, EngineStatus

logger = logging.getLogger(__name__)

SILENT_LOADING_S = 300.0  # a large checkpoint takes minutes to read from a slow disk
_STOP_S = 5.0
_PASSED_ON = (
    *("size", "codec", "device", "devices", "plan"),
    *("weights", "checkpoint", "compile", "threads", "echo_steps"),
)


def engine_command(config: ServerConfig) -> tuple[str, ...]:
    """The child's command line, without `--channel-fd`."""
    command = [sys.executable, "-m", "slipstream_engine", "serve"]
    command += ["--pipeline", config.pipeline, "--preset", config.preset]
    command += ["--max-streams", str(config.max_streams)]
    command += ["--age-ms-target", str(config.age_ms_target)]
    for name in _PASSED_ON:
        if value := getattr(config, name):
            command += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServiceEnd:
    """Why an engine process serves no longer.

    Args:
        reason: why it must end; None where it ends by itself or is stopped, which its exit code and
            its last line of output explain.
        must_kill: whether it hangs, so that neither a closed channel nor SIGTERM would end it.
    """

    reason: str | None = None
    must_kill: bool = False


class Supervisor:
    """Keeps one engine running until stopped.

    Args:
        command: of the child; `--channel-fd N` is added.
        pool: runs the client's large copies.
        check: raises ValueError where an engine cannot do what the settings ask for.
    """

    def __init__(
        self,
        command: Sequence[str],
        pool: Executor,
        check: Callable[[Ready], None] = lambda ready: None,
    ) -> None:
        self._check = check
        self.current = CurrentEngine[EngineClient]()
        self._command = tuple(command)
        self._pool = pool
        self._child = RestartingChild(
            "the engine",
            self._run_once,
            on_down=lambda reason: self._set_status(EngineState.DOWN, reason),
        )
        self._state = EngineState.STARTING
        self._detail = "not started yet"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def status(self) -> EngineStatus:
        process = self._process
        is_running = process is not None and process.returncode is None
        return EngineStatus(
            state=self._state,
            detail=self._detail,
            pid=process.pid if process and is_running else None,
            restarts=self._child.restarts,
            ready=self.current.ready,
        )

    def require(self) -> EngineClient:
        """The client of the running engine.

        Raises:
            EngineUnavailable: with the stage it is loading at, or the reason it is down.
        """
        if self.current.client is None:
            raise self.status.unavailable()
        return self.current.client

    async def running(self) -> EngineClient:
        """The client, as soon as an engine runs."""
        return await self.current.running()

    async def run(self) -> None:
        """Start the engine, and restart it whenever it ends, until `stop`."""
        await self._child.run()
        self._set_status(EngineState.STOPPED, "the server is stopping")

    def stop(self) -> None:
        """Ask the engine to finish; `run` returns when the child has exited."""
        self._child.stopping.set()
        if self.current.client is not None:
            self.current.client.stop()

    def kill(self) -> None:
        """End the engine's process at once, whatever it does; call `stop` first."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _run_once(self) -> str:
        """Run one engine process from start to end; returns the reason of its end."""
        self._set_status(EngineState.STARTING, "the process starts")
        self._child.is_starting = True
        ours, theirs = open_pair()
        async with OutputRelay() as relay:
            try:
                self._process = process = await self._spawn(theirs, relay.child_end)
            except OSError as error:
                ours.close()
                return f"the engine cannot be started: {error}"
            finally:
                theirs.close()
                relay.given()
            channel = WatchedChannel(ours)
            end = _ServiceEnd()
            try:
                end = await self._serve_until_stopped(channel)
            finally:
                channel.close()
                if end.must_kill:
                    process.kill()
                await terminate(process)
        reason = end.reason or _exit_reason(process, relay)
        self.current.report_lost(reason)
        return reason

    async def _spawn(self, theirs: socket.socket, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            *("--channel-fd", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is the server's to handle
        )

    async def _serve_until_stopped(self, channel: WatchedChannel) -> _ServiceEnd:
        """Serve until the engine ends or hangs; after `stop` it has `_STOP_S` to finish."""
        stopping = self._child.stopping
        async with (
            background(self._serve(channel), name="engine serve") as serving,
            background(stopping.wait(), name="engine stop") as stopped,
        ):
            await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
            if self.current.client is not None:
                await asyncio.wait((serving,), timeout=_STOP_S)
            if serving.done():
                return serving.result()
            return _ServiceEnd()

    async def _serve(self, channel: WatchedChannel) -> _ServiceEnd:
        """Wait until the engine is ready, then serve until it is gone or hangs."""
        try:
            ready = await self._wait_ready(channel)
        except TimeoutError:
            return _ServiceEnd(
                reason=f"the engine has sent nothing for {SILENT_LOADING_S:g} s while it was "
                "loading"
            )
        except ChannelClosed:
            return _ServiceEnd()
        except ChannelError as error:
            return _ServiceEnd(reason=f"the engine breaks the protocol: {error}")
        if isinstance(ready, Failed):
            return _ServiceEnd(reason=f"the engine did not start: {ready.reason}")
        (descriptor,) = channel.take_descriptors(1)
        try:
            self._check(ready)
        except ValueError as error:
            os.close(descriptor)
            return _ServiceEnd(reason=f"the engine does not fit the settings: {error}")
        try:
            require_sealed(descriptor)
            client = EngineClient.attach(channel, ready, descriptor, self._pool)
        except ValueError as error:
            os.close(descriptor)
            return _ServiceEnd(reason=f"the engine breaks the protocol: {error}")
        self._keep_size(ready)
        self.current.connect(client)
        self._child.is_starting = False
        self._set_status(EngineState.READY, ready.note)
        try:
            async with (
                background(client.serve(), name="engine client") as serving,
                background(channel.hang(), name="engine hang detector") as hanging,
            ):
                await asyncio.wait((serving, hanging), return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    return _ServiceEnd(reason=serving.result())
                return _ServiceEnd(reason=hanging.result(), must_kill=True)
        finally:
            self.current.disconnect(client)
            self._set_status(EngineState.DOWN, "it has just ended")

    def _keep_size(self, ready: Ready) -> None:
        """Start every later engine with this one's frame size, where it has no other.

        An engine that chooses its only size by measuring must not choose another under open calls.
        """
        if len(ready.sizes) <= 1 and "--size" not in self._command:
            self._command += ("--size", str(ready.geometry.size))

    async def _wait_ready(self, channel: WatchedChannel) -> Ready | Failed:
        while True:
            async with asyncio.timeout(SILENT_LOADING_S):
                message = await channel.receive()
            match message:
                case Loading(stage=stage):
                    self._set_status(EngineState.STARTING, stage)
                case Ready() | Failed():
                    return message

    def _set_status(self, state: EngineState, detail: str) -> None:
        if state is not EngineState.DOWN and (state, detail) != (self._state, self._detail):
            logger.info("engine %s: %s", state, detail)
        self._state, self._detail = state, detail


def _exit_reason(process: asyncio.subprocess.Process, relay: OutputRelay) -> str:
    """The signal that ended the engine, or its exit code and the last line it printed."""
    reason = exit_reason("the engine", process)
    if process.returncode is not None and process.returncode < 0:
        return reason
    return f"{reason}: {relay.last_line()}"
