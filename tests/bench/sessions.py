"""How many calls a machine holds: stock aiortc's H.264 echo against our media edge.

    python -m tests.bench.sessions [--cases ...] [--most 16] [--seconds 8] [--out FILE.json]

Callers send 640x480 at 24 fps and get their pictures back, one caller more each time, until a
case no longer sustains them: a call is sustained if 95 % of the frames that it sends come back.
Callers cost little (`light_caller.py`) but run on the same cores. So the first figure is the
processor time that a call costs the server; what it costs the caller is a column of its own. All
cases are sent, and send, the same bits a second.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
import uvloop

from tests.bench.__main__ import free_port, processor, until_ready
from tests.bench.light_caller import Recording, calling
from tests.e2e.clips import clip_pictures

FPS = 24
LINK_BPS = 1_500_000
OURS_BPS = int(LINK_BPS / 0.85)  # we leave some of a link for what is sent again
SETTLE_S = 4.0  # key frames, and rates on their way
SUSTAINED_SHARE = 0.95
GIVE_UP = 2  # after so many loads in a row that were not sustained


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Servers, each a process of its own with its children; callers are spread over them.

    Args:
        command: of a server, after `python -m`; the port comes last.
        servers: how many of them.
        link_bps: the bandwidth that callers report, so that they are sent `LINK_BPS`.
    """

    command: tuple[str, ...]
    servers: int = 1
    link_bps: int


_SLIPSTREAM = (
    *("slipstream_server", "--pipeline", "echo"),
    *("--max-streams", "24", "--offers-per-minute", "0", "--drain-s", "0"),
    *("--max-cpu-share", "0"),  # how many calls it holds is what is measured
)
CASES = {
    "stock aiortc": Case(command=("tests.bench.stock_aiortc",), link_bps=LINK_BPS),
    "our media edge": Case(command=("tests.bench.media_edge",), link_bps=OURS_BPS),
    "stock aiortc, 2 processes": Case(
        command=("tests.bench.stock_aiortc",), link_bps=LINK_BPS, servers=2
    ),
    "our media edge, 2 processes": Case(
        command=("tests.bench.media_edge",), link_bps=OURS_BPS, servers=2
    ),
    "all of Slipstream": Case(command=(*_SLIPSTREAM, "--port"), link_bps=OURS_BPS),
}


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of `calls` calls at the same time.

    Args:
        fps_least, fps_mean: frames that came back a second, of the call that got the fewest, and of
            all.
        kbps: that came back, of one call.
        server_percent: of a core, for one call, the server with its children.
        caller_percent: of a core, for one call, at the callers' end.
    """

    calls: int
    fps_least: float
    fps_mean: float
    kbps: float
    server_percent: float
    caller_percent: float

    @property
    def is_sustained(self) -> bool:
        return self.fps_least >= SUSTAINED_SHARE * FPS


class CaseReport(msgspec.Struct, frozen=True, kw_only=True):
    case: str
    loads: list[Load]

    @property
    def most(self) -> int:
        """The most calls that were all sustained."""
        return max((load.calls for load in self.loads if load.is_sustained), default=0)


class SessionsReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run; the first case is what the others are compared with."""

    date: str
    machine: str
    cores: int
    python: str
    seconds: float
    cases: list[CaseReport]


def sessions_table(report: SessionsReport) -> str:
    """The figures as Markdown; the cost of a call is that of the largest load all cases sustain."""
    common = max(1, min(case.most for case in report.cases))
    costs = {case.case: _at(case, common) for case in report.cases}
    base = report.cases[0]
    rows = [
        f"| case | server, % of a core a call ({common} at once) | of the first | "
        f"calls in the time of {report.cores} cores | calls held beside their callers | "
        "kbit/s a call | caller, % of a core a call |",
        "|---" * 7 + "|",
    ]
    for case in report.cases:
        cost = costs[case.case]
        share = cost.server_percent / costs[base.case].server_percent
        rows.append(
            f"| {case.case} | {cost.server_percent:.1f} | {share:.2f} | "
            f"{100 * report.cores / cost.server_percent:.1f} | {case.most} | {cost.kbps:.0f} | "
            f"{cost.caller_percent:.1f} |"
        )
    return "\n".join(rows)


def _at(case: CaseReport, calls: int) -> Load:
    return next(load for load in case.loads if load.calls == calls)


@asynccontextmanager
async def server(command: tuple[str, ...]) -> AsyncIterator[tuple[str, int]]:
    """A running server: its address and its process id."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_ready(f"http://127.0.0.1:{port}/ready", process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)


def used_s(pids: list[int]) -> float:
    """Processor time so far of these processes and their children, in seconds."""
    parents = [psutil.Process(pid) for pid in pids]
    family = [*parents, *(child for parent in parents for child in parent.children())]
    times = [process.cpu_times() for process in family]
    return sum(one.user + one.system for one in times)


async def measure(case: Case, recording: Recording, calls: int, seconds: float) -> Load:
    async with contextlib.AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(server(case.command)) for _ in range(case.servers)
        ]
        pids = [pid for _, pid in running]
        received = []
        for number in range(calls):
            address, _ = running[number % len(running)]
            call = calling(address, recording, link_bps=case.link_bps)
            received.append(await stack.enter_async_context(call))
        await asyncio.sleep(SETTLE_S)
        own = time.process_time()
        before_s, before_bytes = used_s(pids), sum(one.size_bytes for one in received)
        began_s = time.monotonic()
        await asyncio.sleep(seconds)
        took_s = time.monotonic() - began_s
        rates = [one.fps(took_s) for one in received]
        came_bytes = sum(one.size_bytes for one in received) - before_bytes
        return Load(
            calls=calls,
            fps_least=min(rates),
            fps_mean=statistics.mean(rates),
            kbps=came_bytes / 125 / took_s / calls,
            server_percent=100 * (used_s(pids) - before_s) / took_s / calls,
            caller_percent=100 * (time.process_time() - own) / took_s / calls,
        )


def run_case(name: str, recording: Recording, most: int, seconds: float) -> CaseReport:
    """Load after load, until the case has not sustained `GIVE_UP` of them in a row."""
    loads: list[Load] = []
    for calls in range(1, most + 1):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            load = runner.run(measure(CASES[name], recording, calls, seconds))
        print(f"{name}: {load}", file=sys.stderr, flush=True)
        loads.append(load)
        if len(loads) >= GIVE_UP and not any(load.is_sustained for load in loads[-GIVE_UP:]):
            break
    return CaseReport(case=name, loads=loads)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sessions", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="that are measured")
    parser.add_argument("--cases", default=";".join(CASES), help=f"of {'; '.join(CASES)}")
    parser.add_argument("--most", type=int, default=16, help="calls that are tried")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    cases = arguments.cases.split(";")
    if unknown := set(cases) - set(CASES):
        parser.error(f"cases are {', '.join(sorted(unknown))}, they must be of {', '.join(CASES)}")
    recording = Recording.make(clip_pictures(), fps=FPS, bitrate_bps=LINK_BPS)
    report = SessionsReport(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        python=platform.python_version(),
        seconds=arguments.seconds,
        cases=[run_case(name, recording, arguments.most, arguments.seconds) for name in cases],
    )
    if arguments.out:
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        arguments.out.write_bytes(text + b"\n")
    print(sessions_table(report))


if __name__ == "__main__":
    main()
