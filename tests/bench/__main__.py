"""Calls over loopback WebRTC, one case after the other, with the same caller and the same pictures.

    python -m tests.bench [--seconds 60] [--cases "bare;echo;tiny"] [--out FILE.json]

The caller sends 640x480 at 30 fps, each picture with its number in its pixels. It runs on the same
machine and costs about as much as the server: latencies measured on two cores are an upper bound
for a caller on a machine of its own. `bare` is aiortc alone, sending each frame straight back; one
case has two callers at the same time, with slower cameras. `250 ms a chunk` is the whole server
with a model's time and no model: it generates half of the camera's frames, and age must not grow.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import msgspec
from slipstream_server.probe.caller import Send
from slipstream_server.probe.offers import CallFailed
from slipstream_server.probe.record import CallRecord

from tests.bench.call_figures import Figures, ProcessMeter, figures
from tests.bench.caller import place_call
from tests.bench.report import Refusal, Report, table
from tests.e2e.clips import clip_pictures

START_TIMEOUT_S = 120
TINY = ("slipstream_server", "--pipeline", "diffusion", "--preset", "tiny")
TINY_SIZE = "256x256"  # whatever the start would choose, so that figures compare
CASES = {
    "bare": ("tests.bench.stock_aiortc",),
    "echo": ("slipstream_server", "--pipeline", "echo"),
    "tiny": (*TINY, "--size", TINY_SIZE),
    "tiny, 2 at 10 fps": (*TINY, "--size", TINY_SIZE, "--max-streams", "2"),
    "250 ms a chunk": ("tests.bench.stub_server", "--chunk-ms", "250"),
}
ON_REQUEST = ("250 ms a chunk",)  # run where it is named: it shows what ten minutes do
CAMERA_FPS = 30
# two callers at full rate would need the two cores for themselves
CONCURRENT = {"tiny, 2 at 10 fps": (2, 10)}  # callers at the same time, and their cameras' rate
PROMPTS = ("pencil drawing", "neon", "thermal camera")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def server(case: str) -> AsyncIterator[tuple[str, int]]:
    """A running server for `case`: its address and its process id."""
    port = free_port()
    module, *options = CASES[case]
    is_ours = module == "slipstream_server"
    arguments = [*options, *(("--port", str(port)) if is_ours else (str(port),))]
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdout=log, stderr=log
        )
        try:
            await until_ready(f"http://127.0.0.1:{port}/ready", process)
            yield f"http://127.0.0.1:{port}", process.pid
        except BaseException:
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-4000:])
            raise
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 20)


async def until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(START_TIMEOUT_S):
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                async with http.get(url) as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.2)
    raise SystemExit(f"the server ended with exit code {process.returncode} before it was ready")


async def run_case(case: str, seconds: float) -> list[Figures | Refusal]:
    """The figures of each caller, and of the processes that served them all; the reason where the
    server has refused one, as a machine that is too slow for a second caller does."""
    pictures = clip_pictures()
    callers, fps = CONCURRENT.get(case, (1, CAMERA_FPS))
    async with server(case) as (address, pid):
        meter = ProcessMeter(pid)

        async def script(send: Send) -> None:
            """Change the prompt now and then."""
            steps = len(PROMPTS) if case.startswith("tiny") else 0
            for rev, prompt in enumerate(PROMPTS[:steps], start=1):
                await asyncio.sleep(seconds / (steps + 1))
                send({"prompt": prompt, "rev": rev})

        async with asyncio.TaskGroup() as tasks:
            calls = [
                tasks.create_task(
                    record_or_reason(
                        place_call(address, pictures, fps=fps, seconds=seconds, script=script)
                    ),
                    name=f"caller {number}",
                )
                for number in range(callers)
            ]
        usage = meter.read()
    names = [case] if callers == 1 else [f"{case}: caller {n + 1}" for n in range(callers)]
    return [
        Refusal(case=name, reason=outcome)
        if isinstance(outcome := call.result(), str)
        else figures(name, outcome, seconds, usage)
        for name, call in zip(names, calls, strict=True)
    ]


async def record_or_reason(call: Awaitable[CallRecord]) -> CallRecord | str:
    """The record of a call, or why there was none."""
    try:
        return await call
    except CallFailed as error:
        return str(error)


async def run(cases: list[str], seconds: float) -> Report:
    done: list[Figures | Refusal] = []
    for case in cases:
        print(f"{case}: {seconds:.0f} s ...", file=sys.stderr, flush=True)
        done += await run_case(case, seconds)
    return Report(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=cores(),
        python=platform.python_version(),
        cases=[outcome for outcome in done if isinstance(outcome, Figures)],
        refusals=[outcome for outcome in done if isinstance(outcome, Refusal)],
    )


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name where the system gives it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each call")
    usual = ";".join(case for case in CASES if case not in ON_REQUEST)
    parser.add_argument("--cases", default=usual, help=f"of {'; '.join(CASES)}")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    cases = arguments.cases.split(";")
    if unknown := set(cases) - set(CASES):
        parser.error(f"cases are {', '.join(sorted(unknown))}, they must be of {', '.join(CASES)}")
    report = asyncio.run(run(cases, arguments.seconds))
    text = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)
    print(table(report))


if __name__ == "__main__":
    main()
