"""A fleet on a real Ray of this machine: what placing costs, and how long pictures are gone.

    python -m tests.bench.fleet [--rounds 20] [--offers 100] [--calls 1] [--out FILE.json]

Two nodes of the echo pipeline. First the same offer is made to a node itself and through the gate,
in turns. Then studio pages in a real Chromium publish, and another page watches each of them, while
again and again the node that has most is drained, or its server is killed with -9; the other one
takes its calls, and the lost one comes back. A gap is the longest time that a page shows no new
picture; a call is lost if its pictures do not flow again with nobody touching the page.
"""

import argparse
import asyncio
import contextlib
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from playwright.async_api import Error as PlaywrightError

from tests.bench.__main__ import cores, processor
from tests.bench.picture_gaps import BACK_S, PictureGaps
from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.e2e.clips import write_small
from tests.e2e.studio import Studio, opened_page
from tests.fleet.ray_fleet import running_fleet, server_at, until_fleet
from tests.server.calls import OFFER_PATH

PLACES = 32  # of each node: offers come faster than their ends are reported
CAMERA_FPS = 10  # pages, nodes and Ray share the cores
OFFER = (Path(__file__).parents[1] / "server/offers/chromium.sdp").read_text()
DRAINED, KILLED = "a node is drained", "a server is killed with -9"


class FleetGap(msgspec.Struct, frozen=True, kw_only=True):
    """One page in one round.

    Args:
        gap_ms: None where the call was lost.
    """

    fault: str
    is_viewer: bool
    gap_ms: float | None


class FleetFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All of a run; times in ms, in the order that they were measured."""

    date: str
    machine: str
    cores: int
    load_before: float
    direct_ms: list[float]
    placed_ms: list[float]
    gaps: list[FleetGap]


def percentile_ms(values_ms: Sequence[float], share: float) -> float:
    """The least that so many of them do not exceed."""
    return sorted(values_ms)[math.ceil(share * len(values_ms)) - 1]


def fleet_figures_table(figures: FleetFigures) -> str:
    """Markdown: placing, then a line for each fault and kind of page."""
    lines = [
        f"`make bench-fleet` on {figures.date}: {figures.cores} cores of {figures.machine}, load "
        f"{figures.load_before:g} before; Ray, both nodes, the callers and Chromium share them.",
        "",
        "| an offer, until its answer | times | ms median | ms p99 |",
        "|---|---|---|---|",
    ]
    for name, times_ms in (("to a node", figures.direct_ms), ("by the gate", figures.placed_ms)):
        median_ms, high_ms = statistics.median(times_ms), percentile_ms(times_ms, 0.99)
        lines.append(f"| {name} | {len(times_ms)} | {median_ms:.0f} | {high_ms:.0f} |")
    lines += ["", "| what happens | pages | times | lost | gap ms median | p95 | longest |"]
    lines += ["|---" * 7 + "|"]
    for fault in (DRAINED, KILLED):
        for is_viewer, pages in ((False, "caller"), (True, "viewer")):
            of_all = [
                one for one in figures.gaps if (one.fault, one.is_viewer) == (fault, is_viewer)
            ]
            gaps_ms = [one.gap_ms for one in of_all if one.gap_ms is not None]
            if gaps_ms:
                lines.append(
                    f"| {fault} | {pages} | {len(of_all)} | {len(of_all) - len(gaps_ms)} | "
                    f"{statistics.median(gaps_ms):.0f} | {percentile_ms(gaps_ms, 0.95):.0f} | "
                    f"{max(gaps_ms):.0f} |"
                )
    return "\n".join(lines)


async def offered_ms(http: aiohttp.ClientSession) -> float:
    """How long one offer takes until its answer; its call is ended at once."""
    began_s = time.perf_counter()
    async with http.post(OFFER_PATH, json={"sdp": OFFER, "type": "offer"}) as response:
        told = await response.json()
        took_ms = (time.perf_counter() - began_s) * 1000
        assert response.status == 200, told
    async with http.delete(f"{OFFER_PATH}/{told['sessionId']}") as response:
        assert response.status == 204
    return took_ms


async def placings(url: str, offers: int) -> tuple[list[float], list[float]]:
    """Direct and placed, in turns."""
    async with contextlib.AsyncExitStack() as stack:
        gate = await stack.enter_async_context(aiohttp.ClientSession(url))
        told = await until_fleet(gate, is_whole)
        node = await stack.enter_async_context(aiohttp.ClientSession(told["nodes"][0]["url"]))
        direct, placed = [], []
        for _ in range(offers):
            direct.append(await offered_ms(node))
            placed.append(await offered_ms(gate))
        return direct, placed


def is_whole(told: dict[str, Any]) -> bool:
    return [node["state"] for node in told["nodes"]] == ["ready"] * 2


async def strike(http: aiohttp.ClientSession, fault: str) -> None:
    """To the node that has most calls; the other one has room for all."""
    told = await until_fleet(http, is_whole)
    victim = max(told["nodes"], key=lambda node: node["streams"])
    if fault == KILLED:
        server_at(victim["url"]).kill()
        return
    path = f"/api/v1/fleet/nodes/{victim['node']}/drain?restart=true"
    async with http.post(path) as response:
        assert response.status == 202


async def one_round(
    http: aiohttp.ClientSession, fault: str, pages: Sequence[tuple[PictureGaps, bool]]
) -> list[FleetGap]:
    for gaps, _ in pages:
        await gaps.begin()
    await strike(http, fault)

    async def gap_of(gaps: PictureGaps, is_viewer: bool) -> FleetGap:
        try:
            async with asyncio.timeout(BACK_S):
                await gaps.until_flowing()
        except (TimeoutError, PlaywrightError):
            return FleetGap(fault=fault, is_viewer=is_viewer, gap_ms=None)
        await until_fleet(http, is_whole)  # a second gap may come with the node's return
        return FleetGap(fault=fault, is_viewer=is_viewer, gap_ms=await gaps.longest_ms())

    return list(await asyncio.gather(*(gap_of(gaps, is_viewer) for gaps, is_viewer in pages)))


async def all_rounds(url: str, chromium: Path, rounds: int, calls: int) -> list[FleetGap]:
    found: list[FleetGap] = []
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        http = await stack.enter_async_context(aiohttp.ClientSession(url))
        browser = await stack.enter_async_context(
            running_chromium(chromium, camera=write_small(folder / "camera.y4m", fps=CAMERA_FPS))
        )
        pages: list[tuple[PictureGaps, bool]] = []
        for _ in range(calls):
            studio = await stack.enter_async_context(opened_page(browser, url))
            own = PictureGaps(studio.page)
            await own.watch()
            await studio.start()
            link = await studio.page.input_value("#view-url")
            view = await stack.enter_async_context(opened_page(browser, link))
            watching = PictureGaps(view.page)
            await watching.watch()
            await Studio.until(view, "live")
            pages += [(own, False), (watching, True)]
        for number in range(rounds):
            fault = (DRAINED, KILLED)[number % 2]
            done = await one_round(http, fault, pages)
            found += done
            gaps = ["LOST" if one.gap_ms is None else f"{one.gap_ms:.0f}" for one in done]
            print(f"{number + 1:3} {fault}: {' '.join(gaps)} ms", file=sys.stderr, flush=True)
            if "LOST" in gaps:
                break  # what is left says nothing of the fleet
    return found


async def run(rounds: int, offers: int, calls: int) -> FleetFigures:
    chromium = await find_chromium()
    if chromium is None:
        raise SystemExit(HOW_TO_GET_ONE)
    load_before = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        async with running_fleet(Path(folder) / "log", nodes=2, places=PLACES) as url:
            direct_ms, placed_ms = await placings(url, offers)
            gaps = await all_rounds(url, chromium, rounds, calls)
    return FleetFigures(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=cores(),
        load_before=load_before,
        direct_ms=[round(one, 1) for one in direct_ms],
        placed_ms=[round(one, 1) for one in placed_ms],
        gaps=gaps,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--offers", type=int, default=100)
    parser.add_argument("--calls", type=int, default=1, help="pages that publish")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    figures = asyncio.run(run(arguments.rounds, arguments.offers, arguments.calls))
    if arguments.out:
        text = msgspec.json.format(msgspec.json.encode(figures), indent=1).decode()
        arguments.out.write_text(text + "\n")
    print(fleet_figures_table(figures))
    return 1 if any(one.gap_ms is None for one in figures.gaps) else 0


if __name__ == "__main__":
    sys.exit(main())
