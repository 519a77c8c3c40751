"""Our sender against libwebrtc's own, on the same links, in one real Chromium.

    python -m tests.bench.senders [--cases "still;dip"] [--out FILE.json]

One page receives a clip of numbered pictures from our sender (`clip_sender.py`), then from another
page of the same browser; codec, size, rate and the highest bitrate are the same. The links are
made of sockets (`relayed_link.py`), and both senders get the same losses. Ratios say how much
worse ours is: above 1 libwebrtc is ahead.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from playwright.async_api import Browser, Page
from slipstream_server.observability.slo_report import percentiles

from tests.bench.__main__ import cores, free_port, processor, until_ready
from tests.bench.clip_sender import CEILING_BPS, FPS, HEIGHT_PX, WIDTH_PX
from tests.bench.relayed_link import RelayedLink, relayed_link
from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.server.scripted_link import LinkScript

SCRIPT = Path(__file__).with_name("link.js").read_text()
CODEC = "H264"
SKIP_S = 3.0  # of the beginning, while rates settle
GOOD_BPS = 20_000_000.0
DIP_BPS = 300_000.0
DIP_FROM_S, DIP_TO_S = 8.0, 14.0
BACK_SHARE = 0.85  # of the bitrate before, and `BACK_FPS_SHARE` of the pictures: it is back
BACK_FPS_SHARE = 0.95
BACK_OVER_S = 1.0
OURS, THEIRS = "ours", "libwebrtc"
FLAGS = (
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)


@dataclass(frozen=True, kw_only=True)
class LinkCase:
    """A clip, a link and how long the call lasts."""

    clip: str
    link: LinkScript
    seconds: float
    has_dip: bool = False


def _dipping_bps(at_ms: int) -> float:
    return DIP_BPS if DIP_FROM_S * 1000 <= at_ms < DIP_TO_S * 1000 else GOOD_BPS


def _good_bps(_at_ms: int) -> float:
    return GOOD_BPS


CASES = {
    "almost still": LinkCase(
        clip="still", link=LinkScript(capacity_bps=_good_bps, one_way_ms=0), seconds=15
    ),
    "6 s of 300 kbit/s": LinkCase(
        clip="moving",
        link=LinkScript(capacity_bps=_dipping_bps, one_way_ms=10),
        seconds=26,
        has_dip=True,
    ),
    "1 % lost": LinkCase(
        clip="moving", link=LinkScript(capacity_bps=_good_bps, lost=0.01), seconds=15
    ),
    "5 % lost": LinkCase(
        clip="moving", link=LinkScript(capacity_bps=_good_bps, lost=0.05), seconds=15
    ),
    "2 Mbit/s, 50 ms": LinkCase(
        clip="moving",
        link=LinkScript(capacity_bps=lambda at_ms: 2_000_000.0, one_way_ms=50),
        seconds=15,
    ),
}


class SenderFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Args:
        fps: pictures shown a second.
        glass_ms_p50, glass_ms_p95: drawn to shown, by the number in the pixels.
        longest_gap_ms: between two pictures shown.
        kbps: received.
        back_s: from the end of the dip until the old bitrate and picture rate are back; None
            without a dip, or where they did not come back.
    """

    codec: str
    fps: float
    glass_ms_p50: float
    glass_ms_p95: float
    longest_gap_ms: float
    freezes: int
    kbps: float
    back_s: float | None


class SendersReport(msgspec.Struct, frozen=True, kw_only=True):
    """By case and sender, one call for each repeat."""

    date: str
    machine: str
    cores: int
    size: str
    cases: dict[str, dict[str, list[SenderFigures]]]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the receiving page has noted; times are Unix milliseconds.

    Args:
        shown: each picture shown and its number.
        samples: bytes received so far, some times a second.
        received: the browser's statistics.
    """

    shown: Sequence[tuple[float, int | None]]
    samples: Sequence[tuple[float, int]]
    received: dict[str, Any]
    codec: str


def sender_figures(
    case: LinkCase, record: Record, drawn: dict[int, float], began_ms: float
) -> SenderFigures:
    """The figures of a record, its first `SKIP_S` seconds left out.

    Args:
        drawn: when each picture was drawn, by its number.
        began_ms: when the link's script began.
    """
    from_ms = began_ms + SKIP_S * 1000
    shown = [one for one in record.shown if one[0] >= from_ms]
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(shown)]
    ages = percentiles([at - drawn[n] for at, n in shown if n is not None and n in drawn])
    if ages is None or not gaps:
        raise RuntimeError(f"none of {len(record.shown)} pictures could be read")
    samples = [one for one in record.samples if one[0] >= from_ms]
    end_ms = record.samples[-1][0]
    return SenderFigures(
        codec=record.codec.removeprefix("video/"),
        fps=1000 * len(shown) / (end_ms - from_ms),
        glass_ms_p50=ages.p50,
        glass_ms_p95=ages.p95,
        longest_gap_ms=max(gaps),
        freezes=record.received["freezeCount"],
        kbps=_kbps(samples),
        back_s=_back_s(record, began_ms) if case.has_dip else None,
    )


def _kbps(samples: Sequence[tuple[float, int]]) -> float:
    (first_ms, first), (last_ms, last) = samples[0], samples[-1]
    return 8 * (last - first) / (last_ms - first_ms)


def _back_s(record: Record, began_ms: float) -> float | None:
    def of(from_ms: float, to_ms: float) -> tuple[float, float]:
        samples = [one for one in record.samples if from_ms <= one[0] <= to_ms]
        shown = sum(from_ms <= at < to_ms for at, _ in record.shown)
        return _kbps(samples), 1000 * shown / (to_ms - from_ms)

    dip_from_ms, dip_to_ms = began_ms + DIP_FROM_S * 1000, began_ms + DIP_TO_S * 1000
    kbps, fps = of(began_ms + SKIP_S * 1000, dip_from_ms)
    span_ms = BACK_OVER_S * 1000 + 100  # some samples are late
    for at_ms, _ in record.samples:
        if at_ms < dip_to_ms or at_ms + span_ms > record.samples[-1][0]:
            continue
        now_kbps, now_fps = of(at_ms, at_ms + span_ms)
        if now_kbps >= BACK_SHARE * kbps and now_fps >= BACK_FPS_SHARE * fps:
            return (at_ms - dip_to_ms) / 1000
    return None


# ---- one call


@contextlib.asynccontextmanager
async def clip_server() -> AsyncIterator[str]:
    """The process that sends for us; its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.clip_sender", str(port)
    )
    address = f"http://127.0.0.1:{port}"
    try:
        await until_ready(f"{address}/ready", process)
        yield address
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


@contextlib.asynccontextmanager
async def end_of_call(browser: Browser, address: str) -> AsyncIterator[Page]:
    page = await browser.new_page()
    try:
        await page.goto(f"{address}/ready")
        await page.evaluate(SCRIPT)
        yield page
    finally:
        await page.close()


async def call(
    browser: Browser, address: str, sender: str, case: LinkCase, *, seed: int
) -> SenderFigures:
    """One call over a link of its own."""
    async with (
        relayed_link(case.link, seed=seed) as link,
        end_of_call(browser, address) as receiver,
    ):
        of = _call_ours if sender == OURS else _call_theirs
        record, drawn = await of(browser, address, case, link, receiver)
    return sender_figures(case, record, drawn, link.began_unix_ms)


async def _call_ours(
    _browser: Browser, address: str, case: LinkCase, link: RelayedLink, receiver: Page
) -> tuple[Record, dict[int, float]]:
    async with aiohttp.ClientSession(address, raise_for_status=True) as http:
        offer = link.for_sender(await _offer(receiver))
        async with http.post(f"/offer/{case.clip}", data=offer) as response:
            answer = await response.text()
        record = await _record(receiver, link, answer, case.seconds)
        async with http.get("/drawn") as response:
            drawn = await response.json()
    return record, {int(number): at_ms for number, at_ms in drawn.items()}


async def _call_theirs(
    browser: Browser, address: str, case: LinkCase, link: RelayedLink, receiver: Page
) -> tuple[Record, dict[int, float]]:
    async with end_of_call(browser, address) as sender:
        answer = await sender.evaluate(
            "(options) => sending.answer(options)",
            {
                "sdp": link.for_sender(await _offer(receiver)),
                "clip": f"{address}/clip/{case.clip}",
                "width": WIDTH_PX,
                "height": HEIGHT_PX,
                "fps": FPS,
                "ceiling_bps": CEILING_BPS,
            },
        )
        record = await _record(receiver, link, answer, case.seconds)
        drawn = await sender.evaluate("() => sending.end()")
    return record, {int(number): at_ms for number, at_ms in drawn.items()}


async def _offer(receiver: Page) -> str:
    return str(await receiver.evaluate("(codec) => receiving.offer(codec)", CODEC))


async def _record(receiver: Page, link: RelayedLink, answer: str, seconds: float) -> Record:
    await receiver.evaluate("(sdp) => receiving.answer(sdp)", link.for_receiver(answer))
    link.begin()
    found = await receiver.evaluate("(seconds) => receiving.record(seconds)", seconds)
    return msgspec.convert(found, Record)


# ---- all calls


async def run(cases: list[str], repeats: int) -> SendersReport:
    executable = await find_chromium()
    if executable is None:
        raise SystemExit(HOW_TO_GET_ONE)
    done: dict[str, dict[str, list[SenderFigures]]] = {
        case: {OURS: [], THEIRS: []} for case in cases
    }
    async with (
        clip_server() as address,
        running_chromium(executable, camera=None, more=FLAGS) as browser,
    ):
        for case, seed, sender in itertools.product(cases, range(repeats), (OURS, THEIRS)):
            figures = await call(browser, address, sender, CASES[case], seed=seed)
            done[case][sender].append(figures)
            print(f"{case}, {sender}: {figures}", file=sys.stderr, flush=True)
    return SendersReport(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=cores(),
        size=f"{WIDTH_PX}x{HEIGHT_PX}@{FPS}",
        cases=done,
    )


def senders_table(report: SendersReport) -> str:
    """Medians as Markdown, and how much worse than libwebrtc's each of ours is."""
    rows = [
        "| link | sender | codec | fps shown | worse by | glass to glass ms p50 / p95 | worse by "
        "| longest gap ms | freezes | kbit/s | old rate back after s |",
        "|---" * 11 + "|",
    ]
    for case, senders in report.cases.items():
        theirs = _Medians(senders[THEIRS])
        for sender, runs in senders.items():
            own = _Medians(runs)
            worse_age = own.of("glass_ms_p50") / theirs.of("glass_ms_p50")
            worse_tail = own.of("glass_ms_p95") / theirs.of("glass_ms_p95")
            back = own.of("back_s")
            cells = [
                case,
                sender,
                runs[0].codec,
                f"{own.of('fps'):.1f}",
                f"{theirs.of('fps') / own.of('fps'):.2f}",
                f"{own.of('glass_ms_p50'):.0f} / {own.of('glass_ms_p95'):.0f}",
                f"{worse_age:.2f} / {worse_tail:.2f}",
                f"{own.of('longest_gap_ms'):.0f}",
                f"{own.of('freezes'):.0f}",
                f"{own.of('kbps'):.0f}",
                "-" if not CASES[case].has_dip else "not" if back == _NEVER else f"{back:.1f}",
            ]
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Medians:
    """Each figure's median over the repeats."""

    runs: list[SenderFigures]

    def of(self, name: str) -> float:
        values = [getattr(run, name) for run in self.runs]
        return statistics.median(_NEVER if value is None else value for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.senders", description=__doc__)
    parser.add_argument("--cases", default=";".join(CASES), help=f"of {'; '.join(CASES)}")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    cases = arguments.cases.split(";")
    if unknown := set(cases) - set(CASES):
        parser.error(f"cases are {', '.join(sorted(unknown))}, they must be of {', '.join(CASES)}")
    report = asyncio.run(run(cases, arguments.repeats))
    if arguments.out:
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        arguments.out.write_bytes(text + b"\n")
    print(senders_table(report))


if __name__ == "__main__":
    main()
