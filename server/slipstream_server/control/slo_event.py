"""The figures of a stream's service levels, as its calls are told once a second."""

from collections.abc import Mapping

import msgspec

from slipstream_server.control.events import Event
from slipstream_server.observability.client_stats import ClientStatsReport, GlassToGlassMs
from slipstream_server.observability.error_budget import BudgetReport, ServiceLevel
from slipstream_server.observability.slo_report import AgeCovers, Milestone, SloReport, SloTargets


class TtffMs(msgspec.Struct, frozen=True, kw_only=True):
    """Each part counted from the offer; `paper` is the definition of arXiv 2511.07399."""

    signal: float | None
    ice: float | None
    first_input: float | None
    first_generated: float | None
    first_sent: float | None
    first_shown: float | None
    paper: float | None


class AgeMs(msgspec.Struct, frozen=True, kw_only=True):
    p50: float | None
    p95: float | None
    p99: float | None


class GapMs(msgspec.Struct, frozen=True, kw_only=True):
    p50: float | None
    p95: float | None


class SkewMs(msgspec.Struct, frozen=True, kw_only=True):
    """How far sound is from its pictures: above 0 where it is behind; `p95` is of the amount."""

    p50: float
    p95: float


class JitterMs(msgspec.Struct, frozen=True, kw_only=True):
    frame: float | None
    chunk: float | None


class Fps(msgspec.Struct, frozen=True, kw_only=True, rename={"in_": "in"}):
    in_: float
    out: float


class StagesMs(msgspec.Struct, frozen=True, kw_only=True):
    wait: float | None
    encode: float | None
    denoise: float | None
    decode: float | None
    playout: float | None


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the page's browser over ten seconds; see `observability/client_stats.py`."""

    freezes: int
    frozen_ms: float
    lost_ratio: float
    dropped_frames: int
    shown_fps: float
    rtt_ms: float | None
    jitter_buffer_ms: float | None
    glass_ms: GlassToGlassMs | None


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    ttff_ms: float
    age_ms: float
    miss_ratio: float
    rate_ratio: float


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    ttff: bool | None
    age: bool | None
    miss: bool | None
    rate: bool | None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A level's error budget; see `observability/error_budget.py`. Null without events.

    Args:
        good, total: events since the stream began.
        left_ratio: of the last hour's budget, below 0 where it is overdrawn.
        burn_5m, burn_1h: how fast it is used; at 1 it just lasts.
    """

    good: float
    total: float
    left_ratio: float | None
    burn_5m: float | None
    burn_1h: float | None


class Slo(Event, frozen=True, tag="slo"):
    """The figures of the last ten seconds, once a second; null before they are known.

    Args:
        age_ms: to sent.
        age_covers: where the age ends that `holds` is about: "glass", on this page's screen as it
            has told in `client_stats`, or "sent".
        since_input_ms: since the camera's last frame, or since there is a path for its first.
        rate_ratio: share of the frames due that were shown: of the camera's, but no more than the
            model makes alone.
        skew_ms: null where there is no sound.
        budgets: by level.
    """

    ttff_ms: TtffMs
    age_ms: AgeMs
    age_covers: AgeCovers | None
    gap_ms: GapMs
    jitter_ms: JitterMs
    skew_ms: SkewMs | None
    fps: Fps
    since_input_ms: float | None
    miss_ratio: float | None
    rate_ratio: float | None
    drops: dict[str, int]
    stages_ms: StagesMs
    viewer: Viewer | None
    targets: Targets
    holds: Kept
    budgets: dict[str, Budget]


def slo_event(
    report: SloReport,
    targets: SloTargets,
    drops: Mapping[str, int],
    budgets: Mapping[ServiceLevel, BudgetReport],
    *,
    skew: SkewMs | None = None,
) -> Slo:
    """A report as an event."""
    age, gap, stages = report.age_ms, report.gap_ms, report.stages_ms
    return Slo(
        ttff_ms=TtffMs(
            **{milestone.value: report.ttff_ms.get(milestone) for milestone in Milestone},
            paper=report.ttff_paper_ms,
        ),
        age_ms=AgeMs(
            p50=age.p50 if age else None,
            p95=age.p95 if age else None,
            p99=age.p99 if age else None,
        ),
        age_covers=report.age_covers,
        gap_ms=GapMs(p50=gap.p50 if gap else None, p95=gap.p95 if gap else None),
        jitter_ms=JitterMs(frame=report.jitter_frame_ms, chunk=report.jitter_chunk_ms),
        skew_ms=skew,
        fps=Fps(in_=report.fps_in, out=report.fps_out),
        since_input_ms=report.since_input_ms,
        miss_ratio=report.miss_ratio,
        rate_ratio=report.rate_ratio,
        drops=dict(drops),
        stages_ms=StagesMs(
            wait=stages.wait if stages else None,
            encode=stages.encode if stages else None,
            denoise=stages.denoise if stages else None,
            decode=stages.decode if stages else None,
            playout=stages.playout if stages else None,
        ),
        viewer=_viewer(report.viewer),
        targets=Targets(
            ttff_ms=targets.ttff_ms,
            age_ms=targets.age_ms,
            miss_ratio=targets.miss_ratio,
            rate_ratio=targets.rate_ratio,
        ),
        holds=Kept(**{level.value: getattr(report.holds, level.value) for level in ServiceLevel}),
        budgets={level.value: _budget(budget) for level, budget in budgets.items()},
    )


def _budget(report: BudgetReport) -> Budget:
    return Budget(
        good=report.ever.good,
        total=report.ever.total,
        left_ratio=report.left,
        burn_5m=report.burn_short,
        burn_1h=report.burn_long,
    )


def _viewer(report: ClientStatsReport | None) -> Viewer | None:
    if report is None:
        return None
    return Viewer(**{name: getattr(report, name) for name in Viewer.__struct_fields__})
