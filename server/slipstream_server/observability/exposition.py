"""Prometheus' text format: rendered with deprecated names, merged from several processes.

Counters are not summed in a merge: each series gets the process it comes from as a label. That lets
a reader sum them (`sum without (worker)`), and see the reset of a worker that was restarted, which
in a sum would look like a jump.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

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


def merge_metrics(own: bytes, workers: Mapping[int, bytes]) -> bytes:
    """The metrics of a front and its workers as one text.

    Args:
        own: of the front, in Prometheus' text format; its series stay as they are, and its families
            replace those of the same name from the workers.
        workers: text of each worker by its index; their series get it as the label `worker`.
    """
    families = {family.name: family for family in text_string_to_metric_families(own.decode())}
    own_names = frozenset(families)
    for index, text in workers.items():
        for family in text_string_to_metric_families(text.decode()):
            if family.name in own_names:
                continue
            whole = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            whole.samples += [_of_worker(sample, index) for sample in family.samples]
    return _text(families.values())


def _text(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)


def _of_worker(sample: Sample, index: int) -> Sample:
    return sample._replace(labels={**sample.labels, "worker": str(index)})
