"""A fleet on a real Ray of this machine, of echo nodes."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

START_S = 180.0  # of Ray, Serve and two servers, on a machine with much else to do
RECOVERY_S = 90.0
STOP_S = 60.0
_POLL_S = 0.1


@asynccontextmanager
async def running_fleet(log: Path, *, nodes: int, places: int) -> AsyncIterator[str]:
    """The address of a fleet's gate, without a slash at the end; nothing is left of it.

    Args:
        log: the file of its output.
        places: of each node.
    """
    before = _ray_processes()
    # echo with one thread each, Ray's least of everything, nothing told to anybody
    flags = ("--nodes", str(nodes), "--cpus-per-node", "0.1", "--drain-s", "20")
    ports = ("--first-port", "18100", "--port", "18099")
    server = ("--pipeline", "echo", "--threads", "1", "--max-streams", str(places))
    unlimited = ("--max-cpu-share", "0", "--offers-per-minute", "0")  # whatever else runs here
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream_server", "fleet", "run", *flags, *ports),
            *("--", *server, *unlimited),
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield await _address(process, log)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_S):
            await process.wait()
        left = _ray_processes() - before
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"Ray has left {left}"


async def fleet_report(http: aiohttp.ClientSession) -> dict[str, Any]:
    """What the gate tells of its nodes."""
    async with http.get("/api/v1/fleet") as response:
        told: dict[str, Any] = await response.json()
        return told


async def until_fleet(
    http: aiohttp.ClientSession, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """What it tells once it is so; a gate that is away is asked again."""
    told: dict[str, Any] = {}
    for _ in range(round(RECOVERY_S / _POLL_S)):
        try:
            told = await fleet_report(http)
        except (aiohttp.ClientError, ValueError):
            told = {"nodes": []}
        if holds(told):
            return told
        await asyncio.sleep(_POLL_S)
    raise AssertionError(f"the fleet was never so: {told}")


def server_at(url: str) -> psutil.Process:
    """The process of a node's server.

    Args:
        url: of the node.
    """
    port = url.rpartition(":")[2]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "slipstream_server" in command and command[command.index("--port") :][1:2] == [port]:
            return process
    raise AssertionError(f"no server at {url}")


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    text = ""
    for _ in range(round(START_S / _POLL_S)):
        text = await asyncio.to_thread(log.read_text, errors="replace")
        if found := re.search(r"fleet is at (http://\S+?)/?\s", text):
            return found[1]
        assert process.returncode is None, text
        await asyncio.sleep(_POLL_S)
    raise AssertionError(f"no fleet within {START_S:g} s:\n{text}")


def _ray_processes() -> set[int]:
    """Processes of Ray, and servers that a fleet has started."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        is_node = "slipstream_server" in command and "--hand-over" in command
        if is_node or command.startswith("ray::") or "/ray/core/src/ray/" in command:
            found.add(process.pid)
    return found
