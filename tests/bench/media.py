"""Glass to glass in a real Chromium: aiortc's own echo against our media edge, no model between.

    python -m tests.bench.media [--seconds 12] [--repeats 3] [--sizes 832x480@24] [--cases ...]
        [--out FILE.json]

The page draws numbered pictures and reads the numbers off what comes back. Cases take turns, so
that whatever else the machine does falls on all; each figure is the median of the repeats, beside
its ratio to the first case. Browser and servers share the machine.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
from playwright.async_api import Browser
from slipstream_server.observability.slo_report import percentiles

from tests.bench.__main__ import cores, processor
from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium

START_TIMEOUT_S = 30
SKIP_S = 2.0  # of the beginning, while rates settle
SCRIPT = Path(__file__).with_name("media.js").read_text()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A server and how it is called.

    Args:
        module: run with `options` and the port.
        codec: the only one the page offers; None for all it has.
        hints: whether the page sets what our own page sets.
        stamps: whether it receives the server's frame timing, which only the whole server sends.
    """

    module: str
    codec: str | None
    hints: bool
    stamps: bool = False
    options: tuple[str, ...] = ()


CASES = {
    "stock": Case(module="tests.bench.stock_aiortc", codec=None, hints=False),
    "stock-h264": Case(module="tests.bench.stock_aiortc", codec="H264", hints=False),
    "stock-hints": Case(module="tests.bench.stock_aiortc", codec=None, hints=True),
    "ours": Case(module="tests.bench.media_edge", codec=None, hints=True),
    "ours-no-hints": Case(module="tests.bench.media_edge", codec=None, hints=False),
    "ours-vp8": Case(module="tests.bench.media_edge", codec="VP8", hints=True),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    width_px: int
    height_px: int
    fps: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}@{self.fps}"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Args:
        codec: of the picture that came back.
        glass_ms_p50, glass_ms_p95: drawn to shown, by the number in the pixels.
        first_frame_ms: offer made to first picture shown.
        fps: pictures shown a second.
        gap_ms_sd: between two pictures shown, the standard deviation.
        unread: share of pictures whose number could not be read.
        key_frames: in what came back, over the whole call.
        up_kbps, down_kbps: over the whole call.
        cpu_percent: of the server, of one core.
    """

    codec: str
    glass_ms_p50: float
    glass_ms_p95: float
    first_frame_ms: float
    fps: float
    gap_ms_sd: float
    unread: float
    key_frames: float
    freezes: float
    up_kbps: float
    down_kbps: float
    cpu_percent: float


class MediaReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run: by size and case, a call for each repeat.

    Args:
        load: of all processes, before, as the system averages it.
        seconds: of each call.
    """

    date: str
    machine: str
    cores: int
    load: float
    seconds: float
    sizes: dict[str, dict[str, list[Figures]]]


NUMBERS = [name for name in Figures.__struct_fields__ if name != "codec"]


def figures(result: dict[str, Any], seconds: float, cpu_percent: float) -> Figures:
    """The figures of the page's record, its first `SKIP_S` seconds left out."""
    start = result["firstAt"] + SKIP_S * 1000
    shown = [one for one in result["shown"] if one[0] >= start]
    ages = percentiles([age for _, number, age in shown if number is not None and age is not None])
    if ages is None:
        raise RuntimeError(f"none of {len(result['shown'])} pictures could be read")
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(shown)]
    received, sent = result["received"], result["sent"]
    return Figures(
        codec=result["codec"],
        glass_ms_p50=ages.p50,
        glass_ms_p95=ages.p95,
        first_frame_ms=result["firstFrameMs"],
        fps=1000 * len(gaps) / sum(gaps),
        gap_ms_sd=statistics.stdev(gaps),
        unread=sum(number is None for _, number, _ in shown) / len(shown),
        key_frames=received["keyFramesDecoded"],
        freezes=received["freezeCount"],
        up_kbps=sent["bytesSent"] * 8 / 1000 / seconds,
        down_kbps=received["bytesReceived"] * 8 / 1000 / seconds,
        cpu_percent=cpu_percent,
    )


@contextlib.asynccontextmanager
async def running_server(
    case: Case, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, psutil.Process]]:
    """The case's server: its address and its process."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", case.module, *case.options, str(port)),
            *(() if host == "127.0.0.1" else (host,)),
            stdout=log,
            stderr=log,
        )
        address = f"http://{host}:{port}"
        try:
            await until_ready(f"{address}/ready")
            yield address, psutil.Process(process.pid)
        except BaseException:
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-4000:])
            raise
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)


async def until_ready(url: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(START_TIMEOUT_S):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                async with http.get(url) as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.1)


async def run_case(browser: Browser, case: Case, size: Size, seconds: float) -> Figures:
    result, cpu_percent = await record(browser, case, size, seconds)
    return figures(result, seconds, cpu_percent)


async def record(
    browser: Browser, case: Case, size: Size, seconds: float, *, host: str = "127.0.0.1"
) -> tuple[dict[str, Any], float]:
    """The page's record of one call, and the server's use of a core in percent.

    Args:
        host: the server's address, where the browser finds it.
    """
    async with running_server(case, host) as (address, process):
        page = await browser.new_page()
        try:
            await page.goto(f"{address}/{'health' if case.stamps else 'ready'}")
            process.cpu_percent()
            result = await page.evaluate(
                SCRIPT,
                {
                    "width": size.width_px,
                    "height": size.height_px,
                    "fps": size.fps,
                    "seconds": seconds,
                    "url": f"{address}/api/v1/webrtc/offer",
                    "codec": case.codec,
                    "hints": case.hints,
                    "stamps": case.stamps,
                },
            )
            cpu_percent = process.cpu_percent()
        finally:
            await page.close()
    return result, cpu_percent


def median(runs: list[Figures]) -> Figures:
    """Each figure's median."""
    numbers = {name: statistics.median(getattr(run, name) for run in runs) for name in NUMBERS}
    return Figures(codec=runs[0].codec, **numbers)


def table(size: Size, results: dict[str, list[Figures]]) -> str:
    """The medians, and in brackets their ratio to the first case."""
    columns = [name.replace("_", " ") for name in NUMBERS]
    rows = [f"| {size} | codec | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    base = median(next(iter(results.values())))
    for name, runs in results.items():
        figure = median(runs)
        cells = [cell(getattr(figure, column), getattr(base, column)) for column in NUMBERS]
        rows.append(f"| {name} | {figure.codec.removeprefix('video/')} | {' | '.join(cells)} |")
    return "\n".join(rows)


def cell(value: float, base: float) -> str:
    text = f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return f"{text} ({value / base:.2f})" if base else text


def media_table(report: MediaReport) -> str:
    """Medians as Markdown, latency and first frame also as ratios to the first case."""
    rows = [
        "| pictures | case | codec | glass to glass ms p50 / p95 | of the first | first frame ms "
        "| of the first | fps shown | key frames | down kbit/s | CPU % |",
        "|---" * 11 + "|",
    ]
    for size, cases in report.sizes.items():
        base = median(next(iter(cases.values())))
        for name, runs in cases.items():
            figure = median(runs)
            shares = (
                figure.glass_ms_p50 / base.glass_ms_p50,
                figure.glass_ms_p95 / base.glass_ms_p95,
                figure.first_frame_ms / base.first_frame_ms,
            )
            cells = [
                size,
                name,
                figure.codec.removeprefix("video/"),
                f"{figure.glass_ms_p50:.0f} / {figure.glass_ms_p95:.0f}",
                f"{shares[0]:.2f} / {shares[1]:.2f}",
                f"{figure.first_frame_ms:.0f}",
                f"{shares[2]:.2f}",
                f"{figure.fps:.1f}",
                f"{figure.key_frames:.0f}",
                f"{figure.down_kbps:.0f}",
                f"{figure.cpu_percent:.0f}",
            ]
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


async def run(
    cases: list[str], sizes: list[Size], repeats: int, seconds: float
) -> dict[str, dict[str, list[Figures]]]:
    executable = await find_chromium()
    if executable is None:
        raise SystemExit(HOW_TO_GET_ONE)
    results: dict[str, dict[str, list[Figures]]] = {}
    async with running_chromium(executable, camera=None) as browser:
        for size in sizes:
            of_size = results[str(size)] = {name: [] for name in cases}
            for repeat in range(repeats):
                for name in cases:
                    done = await run_case(browser, CASES[name], size, seconds)
                    of_size[name].append(done)
                    print(
                        f"{size} {name} {repeat + 1}/{repeats}: {done.glass_ms_p50:.0f} / "
                        f"{done.glass_ms_p95:.0f} ms, {done.fps:.1f} fps",
                        file=sys.stderr,
                        flush=True,
                    )
            print(table(size, of_size), flush=True)
    return results


def read_size(text: str) -> Size:
    size, _, fps = text.partition("@")
    width, _, height = size.partition("x")
    return Size(width_px=int(width), height_px=int(height), fps=int(fps))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.media", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each call")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", default="832x480@24,640x480@30,832x480@16")
    parser.add_argument("--cases", default="stock,ours", help=f"of {', '.join(CASES)}")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    cases = arguments.cases.split(",")
    if unknown := set(cases) - set(CASES):
        parser.error(f"cases are {', '.join(sorted(unknown))}, they must be of {', '.join(CASES)}")
    sizes = [read_size(text) for text in arguments.sizes.split(",")]
    load = os.getloadavg()[0]
    results = asyncio.run(run(cases, sizes, arguments.repeats, arguments.seconds))
    if arguments.out:
        report = MediaReport(
            date=datetime.now(UTC).date().isoformat(),
            machine=processor(),
            cores=cores(),
            load=load,
            seconds=arguments.seconds,
            sizes=results,
        )
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        arguments.out.write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
