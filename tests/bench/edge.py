"""How the media edge plays out bursts and adapts to a slow link, seen in a real Chromium.

    python -m tests.bench.edge [--seconds 20] [--cases "bursts;cap"] [--out FILE.json]

`echo` is the whole server without a model, and compares the page's own estimate of a picture's age
with the numbers in the pixels. `bursts` is the whole server before an engine that takes 80 ms a
chunk with a standard deviation of 12 ms: four frames come at once and are to be shown one by one.
`cap` is the media edge alone, sending each frame back over a link of 2 Mbit/s; `cap, stock` is
stock aiortc over the same link.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from playwright.async_api import Browser
from slipstream_server.observability.slo_report import percentiles

from tests.bench.__main__ import cores, processor
from tests.bench.link import LinkUnavailable, capped_link
from tests.bench.media import Case, Size, record
from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium

CAP_KBPS = 2000
SKIP_S = 3.0  # of the beginning, while rates settle
CASES = {
    "echo": Case(
        module="tests.bench.stub_server",
        codec=None,
        hints=True,
        stamps=True,
        options=("--size", "832x480", "--chunk-ms", "0"),
    ),
    "bursts": Case(
        module="tests.bench.stub_server",
        codec=None,
        hints=True,
        stamps=True,
        options=("--size", "832x480", "--chunk-ms", "80", "--jitter-ms", "12"),
    ),
    "cap": Case(module="tests.bench.media_edge", codec=None, hints=True),
    "cap, stock": Case(module="tests.bench.stock_aiortc", codec=None, hints=False),
}
CAPPED = ("cap", "cap, stock")
SIZE = Size(width_px=832, height_px=480, fps=24)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    p50: float
    p95: float


class EdgeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Args:
        fps: pictures shown a second.
        gap_ms_sd: between two pictures shown, the standard deviation.
        glass_ms: drawn to shown, by the number in the pixels.
        engine_to_screen_ms: received from the engine to shown, by the server's frame timing.
        age_error_ms: how far the page's estimate of a picture's age is from that of the pixels.
        timed_share: share of the pictures shown whose frame timing had come.
    """

    case: str
    seconds: float
    fps: float
    gap_ms_sd: float
    glass_ms: Spread
    engine_to_screen_ms: Spread | None
    age_error_ms: Spread | None
    timed_share: float | None
    freezes: int
    key_frames: int
    lost_packets: int
    down_kbps: float


class EdgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """All cases of one run; those that could not be run, with the reason."""

    date: str
    machine: str
    cores: int
    size: str
    cases: list[EdgeFigures]
    skipped: dict[str, str]


def spread(values: list[float]) -> Spread | None:
    found = percentiles(values)
    return Spread(p50=found.p50, p95=found.p95) if found else None


def edge_figures(case: str, result: dict[str, Any], seconds: float) -> EdgeFigures:
    """The figures of the page's record, its first `SKIP_S` seconds left out."""
    start_ms = result["firstAt"] + SKIP_S * 1000
    shown = [one for one in result["shown"] if one[0] >= start_ms]
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(shown)]
    glass = spread([age for _, number, age in shown if number is not None and age is not None])
    if glass is None or len(gaps) < 2:
        raise RuntimeError(f"none of {len(result['shown'])} pictures could be read")
    received, timing = result["received"], result["timing"]
    delays, errors, timed_share = _ages(timing, shown) if timing["clock"] else ([], [], None)
    return EdgeFigures(
        case=case,
        seconds=seconds,
        fps=1000 * len(gaps) / sum(gaps),
        gap_ms_sd=statistics.stdev(gaps),
        glass_ms=glass,
        engine_to_screen_ms=spread(delays),
        age_error_ms=spread(errors),
        timed_share=timed_share,
        freezes=received["freezeCount"],
        key_frames=received["keyFramesDecoded"],
        lost_packets=received["packetsLost"],
        down_kbps=received["bytesReceived"] * 8 / 1000 / seconds,
    )


def _ages(
    timing: dict[str, Any], shown: list[list[float]]
) -> tuple[list[float], list[float], float]:
    """Delays from engine to screen, errors of the page's ages, share of pictures with timing."""
    frames = {frame["rtp"]: frame for frame in timing["frames"]}
    names = dict(timing["presented"])
    offset_ms = timing["clock"]["offset_ms"]
    delays, errors = [], []
    for shown_ms, _, age_ms in shown:
        frame = frames.get(names[shown_ms])
        if frame is None:
            continue
        delays.append(shown_ms - (frame["received"] - offset_ms))
        if age_ms is not None and frame["captured_unix"] is not None:
            estimated_ms = shown_ms - (frame["captured_unix"] - timing["origin_ms"])
            errors.append(abs(estimated_ms - age_ms))
    return delays, errors, len(delays) / len(shown)


async def run_case(executable: Path, name: str, seconds: float) -> EdgeFigures:
    """Make one call.

    Raises:
        LinkUnavailable: if the case needs a slow link and this machine cannot make one.
    """
    if name not in CAPPED:
        async with running_chromium(executable, camera=None) as browser:
            return await _call(browser, name, seconds)
    with capped_link(CAP_KBPS) as link:
        async with running_chromium(link.inside(executable), camera=None) as browser:
            return await _call(browser, name, seconds, host=link.host)


async def _call(
    browser: Browser, name: str, seconds: float, *, host: str = "127.0.0.1"
) -> EdgeFigures:
    result, _ = await record(browser, CASES[name], SIZE, seconds, host=host)
    return edge_figures(name, result, seconds)


async def run(cases: list[str], seconds: float) -> EdgeReport:
    executable = await find_chromium()
    if executable is None:
        raise SystemExit(HOW_TO_GET_ONE)
    done, skipped = [], {}
    for case in cases:
        print(f"{case}: {seconds:.0f} s ...", file=sys.stderr, flush=True)
        try:
            done.append(await run_case(executable, case, seconds))
        except LinkUnavailable as error:
            skipped[case] = str(error)
            print(f"{case} is left out: {error}", file=sys.stderr, flush=True)
    return EdgeReport(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=cores(),
        size=str(SIZE),
        cases=done,
        skipped=skipped,
    )


def edge_table(report: EdgeReport) -> str:
    """The figures as Markdown."""
    rows = [
        "| case | fps shown | gap ms sd | glass to glass ms p50 / p95 | engine to screen ms "
        "p50 / p95 | error of the page's age ms p50 / p95 | freezes | key frames | down kbit/s |",
        "|---" * 9 + "|",
    ]
    for case in report.cases:
        cells = [
            case.case,
            f"{case.fps:.1f}",
            f"{case.gap_ms_sd:.1f}",
            _cell(case.glass_ms),
            _cell(case.engine_to_screen_ms),
            _cell(case.age_error_ms),
            str(case.freezes),
            str(case.key_frames),
            f"{case.down_kbps:.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    rows += [f"\n`{case}` was left out: {reason}" for case, reason in report.skipped.items()]
    return "\n".join(rows)


def _cell(spread: Spread | None) -> str:
    return f"{spread.p50:.0f} / {spread.p95:.0f}" if spread else "-"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.edge", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each call")
    parser.add_argument("--cases", default=";".join(CASES), help=f"of {'; '.join(CASES)}")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    cases = arguments.cases.split(";")
    if unknown := set(cases) - set(CASES):
        parser.error(f"cases are {', '.join(sorted(unknown))}, they must be of {', '.join(CASES)}")
    report = asyncio.run(run(cases, arguments.seconds))
    if arguments.out:
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        arguments.out.write_bytes(text + b"\n")
    print(edge_table(report))


if __name__ == "__main__":
    main()
