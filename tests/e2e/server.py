"""The real server in a process of its own, on a free port."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

START_S = 60.0
STOP_S = 10.0
_ADDRESS = re.compile(r"http://[^\s?]+")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that takes calls; `url` has no slash at its end, `pid` is the process."""

    url: str
    pid: int

    async def health(self) -> dict[str, Any]:
        """The body of `/health`."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/health") as response:
            health: dict[str, Any] = await response.json()
            return health

    async def until_health(self, **figures: Any) -> None:
        """Until `/health` has these values."""
        for _ in range(600):
            health = await self.health()
            if figures.items() <= health.items():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"/health never had {figures}: {health}")


@asynccontextmanager
async def running_server(
    *,
    pipeline: str,
    log: Path,
    max_streams: int = 2,
    port: int = 0,
    drain_s: float = 0.0,
    more: Sequence[str] = (),
) -> AsyncIterator[RunningServer]:
    """A server that is ready while the block runs.

    Args:
        drain_s: how long calls may go on at the end of the block.
        log: the file of its standard error.
        port: to listen on; any free one if 0.
        more: further flags.

    Raises:
        TimeoutError: if it is not ready in time; its log is in the message.
    """
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "slipstream_server", "--port", str(port), "--pipeline", pipeline),
            *("--max-streams", str(max_streams), "--drain-s", str(drain_s)),
            *more,
            cwd=_ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            async with asyncio.timeout(START_S):
                server = RunningServer(url=await _address(process), pid=process.pid)
                await _until_ready(server)
        except (TimeoutError, RuntimeError) as error:
            await stop(process)
            raise type(error)(f"the server did not get ready:\n{_log_text(log)}") from error
        try:
            yield server
        except BaseException:
            print(_log_text(log))
            raise
        finally:
            await stop(process)


def _log_text(log: Path) -> str:
    return log.read_text(errors="replace")


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None, "its output is piped"
    async for line in process.stdout:
        if found := _ADDRESS.search(line.decode()):
            return found[0].rstrip("/")
    raise RuntimeError("it ended before it listened")


async def _until_ready(server: RunningServer) -> None:
    while True:
        if (await server.health())["ready"]:
            return
        await asyncio.sleep(0.1)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and make it do so after `STOP_S`."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
