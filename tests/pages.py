"""The tables in README.md and docs/, made from what they describe.

    python -m tests.pages            # write them into the pages

Each stands between `<!-- NAME -->` and `<!-- /NAME -->`; a test finds them out of date.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import msgspec
import torch
from prometheus_client.parser import text_string_to_metric_families
from slipstream_engine.bench import report as engine_bench
from slipstream_engine.weights.embedded import TEXT_FILE, WEIGHTS, load_text
from slipstream_fleet.simulation.fleet_run import FleetComparison, fleet_table
from slipstream_server.config import ServerConfig, secret_settings
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.exposition import DEPRECATED_METRICS
from slipstream_server.observability.metrics import CallCounts, Metrics
from slipstream_server.osc.surface_controls import SURFACE_CONTROLS

from tests.bench.chaos import ChaosReport, chaos_table
from tests.bench.edge import EdgeReport, edge_table
from tests.bench.fleet import FleetFigures, fleet_figures_table
from tests.bench.media import MediaReport, media_table
from tests.bench.overloads import OverloadsReport, overloads_table
from tests.bench.ranks import RanksReport, ranks_table
from tests.bench.report import Report, table
from tests.bench.senders import SendersReport, senders_table
from tests.bench.sessions import FPS, SessionsReport, sessions_table
from tests.bench.soak import SoakReport, soak_table
from tests.fake_cuda.budgets import read_budgets

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "tests" / "benchmarks"


def settings() -> str:
    """Every setting of the server, its default and what it is."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for setting in fields(ServerConfig):
        default = "" if setting.default in ("", None) else f"`{setting.default}`"
        is_secret = setting.name in secret_settings()
        file = f"; or `{setting.name}_file`, which holds it" if is_secret else ""
        rows.append(f"| `{setting.name}` | {default} | {setting.metadata['help']}{file} |")
    return "\n".join(rows)


def osc() -> str:
    """The names by which control surfaces steer."""
    rows = ["| name | value | what it does | where |", "|---|---|---|---|"]
    for control in SURFACE_CONTROLS:
        where = "page" if control.is_on_page else "any stream"
        rows.append(f"| `{control.name}` | {control.value} | {control.what} | {where} |")
    return "\n".join(rows)


def metrics() -> str:
    """Every metric of the server, its type and what it is; deprecated names last."""
    text = (
        Metrics().render(EngineStatus(state=EngineState.STOPPED, detail=""), CallCounts()).decode()
    )
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ours = [
        name
        for name in families
        if name.startswith("slipstream_") and not name.endswith("_created")
    ]
    names = sorted(ours, key=DEPRECATED_METRICS.__contains__)
    rows = ["| metric | type | what it is |", "|---|---|---|"]
    for family in (families[name] for name in names):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return "\n".join(rows)


def styles() -> str:
    """The words that the embedded model knows."""
    vocabulary = load_text(WEIGHTS / TEXT_FILE, like=torch.zeros(())).vocabulary
    return f"Styles: {', '.join(vocabulary.styles)}.\n\nColours: {', '.join(vocabulary.colours)}."


def calls() -> str:
    """The benchmark of whole calls."""
    return _calls("make bench", "calls.json")


def long() -> str:
    """The one call that is long."""
    return _calls("make bench-long", "long.json")


def media() -> str:
    """Our media edge against stock aiortc's echo."""
    report = msgspec.json.decode((BENCHMARKS / "media.json").read_bytes(), type=MediaReport)
    repeats = max(len(runs) for cases in report.sizes.values() for runs in cases.values())
    heading = (
        f"`make bench-media` on {report.date}: {report.cores} cores of {report.machine}, Chromium "
        f"on the same cores, load {report.load:.1f} before; medians of {repeats} calls of "
        f"{report.seconds:.0f} s each, the cases taking turns."
    )
    return f"{heading}\n\n{media_table(report)}"


def edge() -> str:
    """What the media edge makes of bursts and of a poor link."""
    report = msgspec.json.decode((BENCHMARKS / "edge.json").read_bytes(), type=EdgeReport)
    heading = (
        f"`make bench-edge` on {report.date}: {report.cores} cores of {report.machine}, Chromium "
        f"on the same cores; calls of {report.cases[0].seconds:.0f} s at {report.size}."
    )
    return f"{heading}\n\n{edge_table(report)}"


def ranks() -> str:
    """Real ranks whose stages last as long as a GPU's."""
    report = msgspec.json.decode((BENCHMARKS / "ranks.json").read_bytes(), type=RanksReport)
    heading = (
        f"`make bench-ranks` on {report.date}: {report.cores} cores of {report.machine}, load "
        f"{report.load:.1f} before; {report.chunks} chunks of each case."
    )
    return f"{heading}\n\n{ranks_table(report)}"


def senders() -> str:
    """Our sender against libwebrtc's on the same links."""
    report = msgspec.json.decode((BENCHMARKS / "senders.json").read_bytes(), type=SendersReport)
    repeats = max(len(runs) for of in report.cases.values() for runs in of.values())
    calls = "one call each" if repeats == 1 else f"medians of {repeats} calls each"
    heading = (
        f"`make bench-senders` on {report.date}: {report.cores} cores of {report.machine}, all of "
        f"it on the same cores; pictures of {report.size}, {calls}."
    )
    return f"{heading}\n\n{senders_table(report)}"


def ladder() -> str:
    """The quality ladder under scripted overloads, against levels that stay."""
    report = msgspec.json.decode((BENCHMARKS / "ladder.json").read_bytes(), type=OverloadsReport)
    heading = (
        "`make bench-ladder`, by a scripted clock; one reading costs "
        f"{report.decision_us:.1f} us on {report.machine}."
    )
    return f"{heading}\n\n{overloads_table(report)}"


def sessions() -> str:
    """What a call costs the server, and how many it holds."""
    report = msgspec.json.decode((BENCHMARKS / "sessions.json").read_bytes(), type=SessionsReport)
    heading = (
        f"`make bench-sessions` on {report.date}: {report.cores} cores of {report.machine}, Python "
        f"{report.python}; callers on the same cores, each 640x480 at {FPS} fps for "
        f"{report.seconds:.0f} s, H.264."
    )
    return f"{heading}\n\n{sessions_table(report)}"


def chaos() -> str:
    """What faults cost a call."""
    report = msgspec.json.decode((BENCHMARKS / "chaos.json").read_bytes(), type=ChaosReport)
    heading = (
        f"`make chaos ROUNDS={len(report.rounds)}` on {report.date}: {report.cores} cores of "
        f"{report.machine}, Chromium on the same cores; {report.lost} calls of "
        f"{len(report.rounds)} lost."
    )
    return f"{heading}\n\n{chaos_table(report)}"


def fleet() -> str:
    """What placing costs in a fleet, and how long pictures are gone when a node is."""
    content = (BENCHMARKS / "fleet.json").read_bytes()
    return fleet_figures_table(msgspec.json.decode(content, type=FleetFigures))


def fleet_days() -> str:
    """What rules of placing and scaling cost a fleet, simulated."""
    content = (BENCHMARKS / "fleet-days.json").read_bytes()
    return fleet_table(msgspec.json.decode(content, type=FleetComparison))


def soak() -> str:
    """What grows in a server that is in use."""
    report = msgspec.json.decode((BENCHMARKS / "soak.json").read_bytes(), type=SoakReport)
    heading = (
        f"`python -m tests.bench.soak --pipeline {report.pipeline} --seconds {report.seconds:.0f}` "
        f"on {report.date}: {report.cores} cores of {report.machine}; one call all the while, "
        f"{report.visits} that came and went, {report.refused} refused."
    )
    return f"{heading}\n\n{soak_table(report)}"


def engine() -> str:
    """The engine's own benchmark, as it prints it."""
    path = BENCHMARKS / "engine-tiny.json"
    report = msgspec.json.decode(path.read_bytes(), type=engine_bench.Report)
    return f"```\n{report.table()}\n```"


def _calls(command: str, file: str) -> str:
    report = msgspec.json.decode((BENCHMARKS / file).read_bytes(), type=Report)
    seconds = report.cases[0].seconds
    heading = (
        f"`{command}` on {report.date}: {report.cores} cores of {report.machine}, Python "
        f"{report.python}; calls of {seconds:.0f} s, 640x480 at 30 fps in where no "
        "other rate is named, the callers on the same cores."
    )
    return f"{heading}\n\n{table(report)}"


def summary() -> str:
    """The embedded model's call in one sentence."""
    report = msgspec.json.decode((BENCHMARKS / "calls.json").read_bytes(), type=Report)
    case = next(case for case in report.cases if case.case == "tiny")
    assert case.slo is not None and case.glass_ms is not None
    return (
        f"On {report.cores} cores of {report.machine}, no GPU, measured on {report.date}: the "
        "embedded model returned "
        f"{case.fps_out:.1f} of {case.slo['fps']['in']:.0f} frames a second, first frame after "
        f"{case.first_frame_ms:.0f} ms, camera to screen {case.glass_ms.p50:.0f} ms (p95 "
        f"{case.glass_ms.p95:.0f} ms) "
        "([all figures](docs/measured.md))."
    )


_COUNTED = {
    "step: launches": "launches a step",
    "step: MB moved": "MB moved a step",
    "step x 4: launches": "launches, 4 streams in a pass",
    "step x 4: MB moved": "MB moved, 4 streams",
    "decode: launches": "launches to decode",
    "memory: cache MB": "MB of KV cache a stream",
}


def budgets() -> str:
    """What a GPU's presets launch, move and hold, as first counted and now."""
    first = json.loads((BENCHMARKS / "first-account.json").read_text())
    rows = [f"| | {' | '.join(_COUNTED.values())} |", "|---" * (len(_COUNTED) + 1) + "|"]
    for case, budget in read_budgets().items():
        before = first.get(case, {})
        cells = [
            f"{before[name]} -> {budget[name]}"
            if before.get(name, budget[name]) != budget[name]
            else str(budget[name])
            for name in _COUNTED
        ]
        rows.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(rows)


Tables = Mapping[str, Callable[[], str]]

PAGES: Mapping[Path, Tables] = {
    ROOT / "README.md": {"summary": summary},
    ROOT / "docs" / "embedded-model.md": {"styles": styles},
    ROOT / "docs" / "fleet.md": {"fleet": fleet, "days": fleet_days},
    ROOT / "docs" / "settings.md": {"settings": settings},
    ROOT / "docs" / "protocol.md": {"metrics": metrics, "osc": osc},
    ROOT / "docs" / "measured.md": {
        "calls": calls,
        "long": long,
        "media": media,
        "edge": edge,
        "senders": senders,
        "ranks": ranks,
        "ladder": ladder,
        "sessions": sessions,
        "chaos": chaos,
        "soak": soak,
        "engine": engine,
        "budgets": budgets,
    },
}


def renewed(text: str, tables: Tables) -> str:
    """A page with every table made again.

    Raises:
        ValueError: if a table has no place in it.
    """
    for name, render in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, found, rest = text.partition(start)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no <!-- {name} --> ... <!-- /{name} -->, add them")
        text = f"{head}{start}{render()}\n{end}{tail}"
    return text


if __name__ == "__main__":
    for page, tables in PAGES.items():
        page.write_text(renewed(page.read_text(), tables))
