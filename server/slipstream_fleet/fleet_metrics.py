"""The gate's own metrics; those of the nodes are scraped from the nodes."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from slipstream_server.observability.exposition import CONTENT_TYPE

from slipstream_fleet.fleet_report import FleetReport
from slipstream_fleet.node_client import HttpAnswer

_BOUNDS_S = (0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class _Nodes(Collector):
    """Gauges that are read off the fleet when they are scraped."""

    def __init__(self, report: Callable[[], FleetReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        states = GaugeMetricFamily("slipstream_fleet_nodes", "Nodes by state.", labels=["state"])
        for state in sorted({node.state for node in report.nodes}):
            states.add_metric([state], sum(node.state == state for node in report.nodes))
        yield states
        for name, text, value in (
            ("streams", "Streams of all nodes.", report.streams),
            ("free_streams", "Streams more that there is room for.", report.free),
            ("waiting", "Callers in the line.", report.waiting),
        ):
            yield GaugeMetricFamily(f"slipstream_fleet_{name}", text, value=value)
        yield CounterMetricFamily(
            "slipstream_fleet_lost_nodes", "Nodes that were lost.", value=report.lost_total
        )


class FleetMetrics:
    """Counts placements.

    Args:
        report: gives the fleet as it is.
    """

    def __init__(self, report: Callable[[], FleetReport]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Nodes(report))
        self._placements = Counter(
            "slipstream_fleet_placements",
            "Offers for new streams that a node has answered, by status.",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "slipstream_fleet_placement_seconds",
            "From an offer's arrival at the gate to the node's answer.",
            buckets=_BOUNDS_S,
            registry=self._registry,
        )

    def placed(self, status: int, seconds: float) -> None:
        """An offer has been answered by a node."""
        self._placements.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def exposition(self) -> HttpAnswer:
        """In Prometheus' text format."""
        body = generate_latest(self._registry)
        return HttpAnswer(status=200, headers=[("Content-Type", CONTENT_TYPE)], body=body)
