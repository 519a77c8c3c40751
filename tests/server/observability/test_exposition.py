"""The text that Prometheus reads."""

from prometheus_client.parser import text_string_to_metric_families
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.exposition import DEPRECATED_METRICS
from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.observability.metrics import CallCounts, Metrics

READY = EngineStatus(state=EngineState.READY, detail="", restarts=0)


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
