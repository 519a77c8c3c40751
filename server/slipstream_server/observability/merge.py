"""The metrics of several processes as one text, each series with the process it comes from.

Counters are not summed here: the label lets a reader do that (`sum without (worker)`), and lets it
see the reset of one worker that was started again, which in a sum would look like a jump.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample


class _Given(Collector):
    def __init__(self, families: Mapping[str, Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families.values()


def merge_metrics(own: bytes, workers: Mapping[int, bytes]) -> bytes:
    """One text of all.

    Args:
        own: of the process that asks, in Prometheus' text format; its series stay as they are, and
            a family of its own goes before that of the same name from the workers.
        workers: of each worker; their series get the label `worker`.
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
    registry = CollectorRegistry()
    registry.register(_Given(families))
    return generate_latest(registry)


def _of_worker(sample: Sample, index: int) -> Sample:
    return sample._replace(labels={**sample.labels, "worker": str(index)})
