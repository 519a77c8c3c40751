"""Faults against a call in a real Chromium: does it come back, and how long is the picture gone.

    python -m tests.bench.chaos [--rounds 100] [--seed 0] [--out FILE.json]

The studio page is in a call all the while. Each round one fault strikes: the engine is killed,
stopped, or gets no more memory; the server is killed, asked to end, or stopped for some seconds;
the link is cut; the log's device is full. A call is kept if pictures flow again with nobody
touching the page; its gap is the longest time without a new picture on the screen. The page is in a
network namespace of its own where that can be had (Linux, root), else the link is not cut.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
import psutil
from playwright.async_api import Error as PlaywrightError

from tests.bench.__main__ import cores, processor, until_ready
from tests.bench.link import Link, LinkUnavailable, capped_link
from tests.bench.picture_gaps import BACK_S, PictureGaps
from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.e2e.clips import write_numbered
from tests.e2e.studio import Studio, opened_page

TOKEN = "a-token-for-this-run"
STOPPED_S = 3.0
CUT_S = 5.0
FULL = Path("/dev/full")


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One fault.

    Args:
        gap_ms: the longest time without a new picture; None where the call was lost.
    """

    fault: str
    gap_ms: float | None


class ChaosReport(msgspec.Struct, frozen=True, kw_only=True):
    date: str
    machine: str
    cores: int
    seed: int
    rounds: list[Round]

    @property
    def lost(self) -> int:
        return sum(one.gap_ms is None for one in self.rounds)


@dataclass(slots=True)
class Servers:
    """The server's process, started again on the same port whenever it has ended."""

    host: str
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self, log: Path = Path(os.devnull)) -> None:
        """Returns once it is ready.

        Args:
            log: the file of its standard error.
        """
        with log.open("wb") as lines:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "slipstream_server", "--pipeline", "echo"),
                *("--host", self.host, "--port", str(self.port), "--token", TOKEN),
                *("--max-streams", "2", "--offers-per-minute", "0"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=lines,
            )
        await until_ready(f"{self.origin}/ready", self.process)

    @property
    def pid(self) -> int:
        assert self.process is not None, "it was started"
        return self.process.pid

    def engine(self) -> psutil.Process:
        """The engine's process."""
        (engine,) = psutil.Process(self.pid).children()
        return engine

    async def end(self, number: signal.Signals) -> None:
        assert self.process is not None, "it was started"
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), BACK_S)


Fault = Callable[[Servers, Link | None], Awaitable[None]]


async def engine_killed(servers: Servers, link: Link | None) -> None:
    servers.engine().kill()


async def engine_stopped(servers: Servers, link: Link | None) -> None:
    """Its channel stays open, and nothing is answered."""
    servers.engine().suspend()


async def engine_without_memory(servers: Servers, link: Link | None) -> None:
    """What it holds it keeps; nothing more is given to it."""
    engine = servers.engine()
    now_bytes = engine.memory_info().vms
    engine.rlimit(psutil.RLIMIT_AS, (now_bytes, now_bytes))


async def server_killed(servers: Servers, link: Link | None) -> None:
    await servers.end(signal.SIGKILL)
    await servers.start()


async def server_asked_to_end(servers: Servers, link: Link | None) -> None:
    await servers.end(signal.SIGTERM)
    await servers.start()


async def server_stopped(servers: Servers, link: Link | None) -> None:
    os.kill(servers.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_S)
    finally:
        os.kill(servers.pid, signal.SIGCONT)


async def log_device_full(servers: Servers, link: Link | None) -> None:
    """Every line that this server logs fails to be written; its engine dies meanwhile."""
    await servers.end(signal.SIGTERM)
    await servers.start(FULL)
    await asyncio.sleep(1)
    servers.engine().kill()


async def link_cut(servers: Servers, link: Link | None) -> None:
    assert link is not None, "it is chosen only where there is one"
    with link.cut():
        await asyncio.sleep(CUT_S)


FAULTS: dict[str, Fault] = {
    "engine killed": engine_killed,
    "engine stopped": engine_stopped,
    "engine gets no more memory": engine_without_memory,
    "server killed": server_killed,
    "server asked to end": server_asked_to_end,
    "server stopped for 3 s": server_stopped,
    "log's device full, engine killed": log_device_full,
    "link cut for 5 s": link_cut,
}


def plan(rounds: int, seed: int, names: list[str]) -> list[str]:
    """Every fault as often as any other, or once more, in a random order. Pure."""
    chosen = [names[number % len(names)] for number in range(rounds)]
    random.Random(seed).shuffle(chosen)
    return chosen


async def strike(name: str, gaps: PictureGaps, servers: Servers, link: Link | None) -> Round:
    """One fault, from a flowing picture to the next flowing one."""
    await gaps.begin()
    await FAULTS[name](servers, link)
    try:
        async with asyncio.timeout(BACK_S):
            await gaps.until_flowing()
    except (TimeoutError, PlaywrightError):
        return Round(fault=name, gap_ms=None)
    return Round(fault=name, gap_ms=await gaps.longest_ms())


@asynccontextmanager
async def call(
    chromium: Path, servers: Servers, link: Link | None
) -> AsyncIterator[tuple[Studio, PictureGaps]]:
    """The studio in a call, in a browser at the other end of the link where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        clip = write_numbered(Path(folder) / "numbers.y4m")
        flag = f"--unsafely-treat-insecure-origin-as-secure={servers.origin}"
        executable = link.inside(chromium) if link else chromium
        async with (
            running_chromium(executable, camera=clip, more=(flag,)) as browser,
            opened_page(browser, f"{servers.origin}/?token={TOKEN}") as studio,
        ):
            gaps = PictureGaps(studio.page)
            await gaps.watch()
            await studio.start()
            yield studio, gaps


async def run(rounds: int, seed: int) -> ChaosReport:
    chromium = await find_chromium()
    if chromium is None:
        raise SystemExit(HOW_TO_GET_ONE)
    done: list[Round] = []
    with contextlib.ExitStack() as stack:
        link: Link | None = None
        try:
            link = stack.enter_context(capped_link(kbps=100_000))
        except LinkUnavailable as error:
            print(f"the link is not cut: {error}", file=sys.stderr)
        names = [name for name in FAULTS if link is not None or name != "link cut for 5 s"]
        host = link.host if link else "127.0.0.1"
        with socket.socket() as sock:
            sock.bind((host, 0))
            servers = Servers(host, sock.getsockname()[1])
        await servers.start()
        try:
            async with call(chromium, servers, link) as (studio, gaps):
                for number, name in enumerate(plan(rounds, seed, names), start=1):
                    one = await strike(name, gaps, servers, link)
                    done.append(one)
                    gap = "LOST" if one.gap_ms is None else f"{one.gap_ms:.0f} ms"
                    print(f"{number:3} {name}: {gap}", file=sys.stderr, flush=True)
                    if one.gap_ms is None:
                        await studio.page.reload()
                        await studio.start()
        finally:
            await servers.end(signal.SIGKILL)
    return ChaosReport(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=cores(),
        seed=seed,
        rounds=done,
    )


def chaos_table(report: ChaosReport) -> str:
    """Each fault's rounds, calls kept and gaps, as Markdown."""
    rows = ["| fault | rounds | calls kept | gap s median | gap s longest |", "|---" * 5 + "|"]
    for fault in FAULTS:
        struck = [one for one in report.rounds if one.fault == fault]
        gaps_s = [one.gap_ms / 1000 for one in struck if one.gap_ms is not None]
        if struck:
            figures = f"{median(gaps_s):.1f} | {max(gaps_s):.1f}" if gaps_s else "- | -"
            rows.append(f"| {fault} | {len(struck)} | {len(gaps_s)} | {figures} |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    report = asyncio.run(run(arguments.rounds, arguments.seed))
    text = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(chaos_table(report))
    return 1 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
