"""Prometheus' text format, with deprecated names."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DEPRECATED_METRICS = {
    "slipstream_paced_seconds": "slipstream_pacer_wait_seconds",
    "slipstream_slo_holds": "slipstream_slo_met_ratio",
    "slipstream_untold_timings": "slipstream_timing_messages_dropped",
}
"""Old names of metrics to new ones. Both are exported; the old ones go with the next release."""


class _Families(Collector):
    """Exports families that were collected elsewhere."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(registry: CollectorRegistry) -> bytes:
    """All metrics of a registry, those with a deprecated name under both names."""
    families = {family.name: family for family in registry.collect()}
    deprecated = (
        _renamed(families[new], old) for old, new in DEPRECATED_METRICS.items() if new in families
    )
    return _text([*families.values(), *deprecated])


def _renamed(family: Metric, name: str) -> Metric:
    renamed = Metric(name, f"Deprecated, see {family.name}", family.type)
    renamed.samples = [
        sample._replace(name=name + sample.name.removeprefix(family.name))
        for sample in family.samples
    ]
    return renamed


def _text(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)
