"""Metrics of several processes in one text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.exposition import DEPRECATED_METRICS, merge_metrics
from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.observability.metrics import CallCounts, Metrics
from slipstream_server.observability.process_metrics import FrontMetrics

READY = EngineStatus(state=EngineState.READY, detail="", restarts=0)


def exposed(count: int) -> bytes:
    registry = CollectorRegistry()
    Counter("frames", "Frames", ["way"], registry=registry).labels("in").inc(count)
    Histogram("age_seconds", "Age", registry=registry, buckets=(0.1, 1.0)).observe(count / 10)
    Gauge("engine_up", "Engine", registry=registry).set(count)
    return generate_latest(registry)


def values(text: bytes, name: str) -> dict[str, float]:
    """Of the samples with this name, by their label `worker`."""
    return {
        sample.labels.get("worker", ""): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_series_keep_their_values_under_the_workers_label() -> None:
    text = merge_metrics(b"", {0: exposed(3), 1: exposed(5)})
    assert values(text, "frames_total") == {"0": 3, "1": 5}
    assert values(text, "age_seconds_count") == {"0": 1, "1": 1}
    assert values(text, "age_seconds_sum") == {"0": 0.3, "1": 0.5}


def test_every_family_stands_once() -> None:
    """a scraper refuses a text with two."""
    text = merge_metrics(b"", {0: exposed(3), 1: exposed(5)}).decode()
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_what_the_front_says_itself_goes_first() -> None:
    """there is one engine, which is exported once."""
    registry = CollectorRegistry()
    Gauge("engine_up", "Engine", registry=registry).set(1)
    text = merge_metrics(generate_latest(registry), {0: exposed(3)})
    assert values(text, "engine_up") == {"": 1}


def test_the_real_ones_go_together() -> None:
    """all that a worker exposes, under the front's own."""
    engine = EngineStatus(state=EngineState.READY, detail="")
    counts = CallCounts(publishers=1)
    text = merge_metrics(
        FrontMetrics().render(engine, up=2, restarts=1),
        {index: Metrics().render(engine, counts) for index in range(2)},
    )
    assert values(text, "slipstream_media_workers") == {"": 2}
    assert set(values(text, "slipstream_engine_state")) == {""}
    assert set(values(text, "slipstream_sessions")) == {"0", "1"}


def test_deprecated_names_are_exported_beside_the_new_ones() -> None:
    """with the same values and labels, so that dashboards have one release to follow."""
    metrics = Metrics()
    metrics.media.report(
        "a",
        MediaStats(
            received={}, sent={}, bitrate_bps=None, paced_ns=3 * NS_PER_S, dropped_timings=5
        ),
    )
    text = metrics.render(READY, CallCounts()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for old, new in DEPRECATED_METRICS.items():
        renamed = [
            (sample.name.replace(old, new), sample.labels, sample.value)
            for sample in families[old].samples
        ]
        assert renamed == [
            (sample.name, sample.labels, sample.value) for sample in families[new].samples
        ]
        assert families[old].type == families[new].type
        assert new in families[old].documentation
    assert "slipstream_untold_timings_total 5.0" in text
    assert "slipstream_paced_seconds_total 3.0" in text
