"""The `slipstream` command in a process of its own, and its health."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

START_S = 60.0  # on a machine with much else to do
_IGNORE_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


@asynccontextmanager
async def slipstream(
    *flags: str,
    log: Path | None = None,
    package: Path | None = None,
    ignores_sigint: bool = False,
    stdin: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running server and its address.

    Args:
        log: where it writes what it logs; nowhere by default.
        package: the folder to import it from, in place of this environment's.
        stdin: its standard input; that of the tests by default.
        ignores_sigint: whether it inherits that, as a background job of a shell does.
        environment: what is added to this process's.
    """
    command = [sys.executable, "-m", "slipstream_server", "--port", "0", "--pipeline", "echo"]
    if ignores_sigint:
        command = [sys.executable, "-c", _IGNORE_SIGINT, *command]
    with (log or Path(os.devnull)).open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            *flags,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=package,
            env=os.environ
            | (environment or {})
            | ({"PYTHONPATH": str(package)} if package else {}),
        )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
        assert re.match(r"Slipstream is at https?://(127\.0\.0\.1|localhost):", line), line
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def health(address: str, http: aiohttp.ClientSession | None = None) -> dict[str, Any]:
    """Of the server, once its engine is ready."""
    async with contextlib.nullcontext(http) if http else aiohttp.ClientSession() as client:
        for _ in range(400):
            async with client.get(address + "health") as response:
                answer: dict[str, Any] = await response.json()
            if answer["ready"]:
                return answer
            await asyncio.sleep(0.05)
    raise AssertionError(f"not ready within 20 s: {answer}")


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
