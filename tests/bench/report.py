"""A run of the benchmark, as JSON and as a table."""

import msgspec

from tests.bench.call_figures import Figures


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the server did not take, or ended, and why."""

    case: str
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All cases of one run."""

    date: str
    machine: str
    cores: int
    python: str
    cases: list[Figures]
    refusals: list[Refusal] = []


def table(report: Report) -> str:
    """The main figures as Markdown."""
    rows = [
        "| case | first frame ms | glass to glass ms p50 / p95 | age ms p50 / p95 / p99 | age p95 "
        "at 10 s, at the end | fps in / out | gap ms p50 / p95 | drops | CPU % server + engine | "
        "RSS MiB server + engine |",
        "|---" * 10 + "|",
    ]
    refusals = [f"\n{refusal.case}: no call, {refusal.reason}" for refusal in report.refusals]
    return "\n".join(rows + [_row(case) for case in report.cases] + refusals)


def _row(case: Figures) -> str:
    slo = case.slo or {}
    age = slo.get("age_ms")
    ages = case.age_p95_ms
    drops = {cause: count for cause, count in slo.get("drops", {}).items() if count}
    usage = case.processes.values()
    cells = [
        case.case,
        f"{case.first_frame_ms:.0f}",
        f"{case.glass_ms.p50:.0f} / {case.glass_ms.p95:.0f}" if case.glass_ms else "-",
        f"{age['p50']:.0f} / {age['p95']:.0f} / {age['p99']:.0f}" if age else "-",
        f"{ages[min(9, len(ages) - 1)]:.0f}, {ages[-1]:.0f}" if ages else "-",
        f"{slo['fps']['in']:.1f} / {case.fps_out:.1f}" if slo else f"30 / {case.fps_out:.1f}",
        f"{case.gap_ms.p50:.0f} / {case.gap_ms.p95:.0f}" if case.gap_ms else "-",
        ", ".join(f"{cause} {count}" for cause, count in drops.items()) or "none",
        " + ".join(f"{process.cpu_percent:.0f}" for process in usage),
        " + ".join(f"{process.rss_mib:.0f}" for process in usage),
    ]
    return "| " + " | ".join(cells) + " |"
