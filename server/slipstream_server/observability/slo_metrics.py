"""Verdicts and error budgets of the whole server, for Prometheus and for /health."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from slipstream_server.observability.error_budget import ErrorBudgets, ServiceLevel, Tallies
from slipstream_server.observability.slo_report import AgeCovers, SloReport, SloTargets


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSummary:
    """One level over all streams; None where there is no data.

    Args:
        met_ratio: share of the streams now that meet the target.
        burn_short, burn_long, left: see `BudgetReport`.
    """

    met_ratio: float | None
    burn_short: float | None
    burn_long: float | None
    left: float | None


class SloMetrics:
    """Counts what all streams' monitors report, those that have ended too.

    Args:
        registry: where it is registered.
        targets: of every stream.
    """

    def __init__(self, registry: CollectorRegistry, targets: SloTargets) -> None:
        self._budgets = ErrorBudgets(targets.objectives)
        self._met = Gauge(
            "slipstream_slo_met_ratio",
            "Share of streams that meet each target now; absent where none is judged",
            ["slo"],
            registry=registry,
        )
        self._covers = Gauge(
            "slipstream_slo_age_streams",
            "Streams by where the age ends that is judged: on the screen, as the page tells it "
            "(glass), or where it is sent",
            ["covers"],
            registry=registry,
        )
        self._events = Counter(
            "slipstream_slo_events",
            "First frames, frames sent (age), chunks (miss) and frames due (rate), good or bad",
            ["slo", "outcome"],
            registry=registry,
        )
        self._burn = Gauge(
            "slipstream_slo_burn_rate",
            "How fast the error budget is used, 1 is as fast as allowed; absent without events",
            ["slo", "window"],
            registry=registry,
        )
        self._left = Gauge(
            "slipstream_slo_budget_left_ratio",
            "Share of the last hour's error budget that is left, below 0 where it is overdrawn",
            ["slo"],
            registry=registry,
        )

    def add(self, tallies: Tallies, now_ns: int) -> None:
        """Count what a stream's monitor has seen."""
        self._budgets.add(tallies, now_ns)
        for level, tally in tallies.items():
            self._events.labels(level.value, "good").inc(tally.good)
            self._events.labels(level.value, "bad").inc(tally.bad)

    def summary(
        self, reports: Collection[SloReport], now_ns: int
    ) -> Mapping[ServiceLevel, LevelSummary]:
        """All levels now.

        Args:
            reports: the latest of each open stream.
        """
        budgets = self._budgets.report(now_ns)
        return {
            level: LevelSummary(
                met_ratio=_met_ratio(level, reports),
                burn_short=budgets[level].burn_short,
                burn_long=budgets[level].burn_long,
                left=budgets[level].left,
            )
            for level in ServiceLevel
        }

    def update_gauges(self, reports: Collection[SloReport], now_ns: int) -> None:
        """Set the gauges that are computed only when the metrics are read."""
        for covers in AgeCovers:
            judged = sum(report.age_covers is covers for report in reports)
            self._covers.labels(covers.value).set(judged)
        for level, now in self.summary(reports, now_ns).items():
            _set(self._met, now.met_ratio, level.value)
            _set(self._burn, now.burn_short, level.value, "5m")
            _set(self._burn, now.burn_long, level.value, "1h")
            _set(self._left, now.left, level.value)


def _met_ratio(level: ServiceLevel, reports: Collection[SloReport]) -> float | None:
    verdicts = [getattr(report.holds, level.value) for report in reports]
    met = [verdict for verdict in verdicts if verdict is not None]
    return sum(met) / len(met) if met else None


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    """No data is no sample: neither a good value nor a bad one."""
    if value is not None:
        gauge.labels(*labels).set(value)
    else:
        gauge.remove(*labels)
