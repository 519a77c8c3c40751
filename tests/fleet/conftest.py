"""A fleet on a real Ray, shared by the tests that need one."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

START_S = 180.0  # of Ray, Serve and two servers, on a machine with much else to do
STOP_S = 60.0
NODES = 2
PLACES = 2
# echo with one thread each, Ray's least of everything, nothing told to anybody
_FLAGS = (
    *("fleet", "run", "--nodes", str(NODES), "--cpus-per-node", "0.1", "--drain-s", "20"),
    *("--first-port", "18100"),
)
_SERVER = (
    *("--", "--pipeline", "echo", "--threads", "1", "--max-streams", str(PLACES)),
    *("--max-cpu-share", "0"),  # whatever else this machine does
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a fleet's gate, without a slash at the end; nothing is left of it."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'slipstream[fleet]'")
    log = tmp_path_factory.mktemp("fleet") / "log"
    before = _ray_processes()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream_server", *_FLAGS, "--port", "18099", *_SERVER),
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


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    text = ""
    for _ in range(round(START_S / 0.2)):
        text = await asyncio.to_thread(log.read_text, errors="replace")
        if found := re.search(r"fleet is at (http://\S+?)/?\s", text):
            return found[1]
        assert process.returncode is None, text
        await asyncio.sleep(0.2)
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
