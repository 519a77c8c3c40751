"""What Prometheus reads."""

import dataclasses
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns
from slipstream_protocol.messages import StageTimes
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.client_stats import GlassToGlassMs
from slipstream_server.observability.error_budget import ServiceLevel, Tally
from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.observability.metrics import CallCounts, Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import AgeCovers, Milestone, SloTargets

from tests.server.calls import Camera, dial
from tests.server.observability.test_client_stats import stats
from tests.server.serving import serving

READY = EngineStatus(state=EngineState.READY, detail="", restarts=3)


def samples(metrics: Metrics) -> dict[str, float]:
    """All values, by name and labels."""
    text = metrics.render(READY, CallCounts(publishers=1)).decode()
    return parsed(text)


def parsed(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_report_is_counted_once() -> None:
    """milestones and drops do not grow by being reported again every second."""
    metrics = Metrics()
    monitor = SloMonitor(SloTargets(), offered_ns=0)
    monitor.observe_milestone(Milestone.SIGNAL, 40 * NS_PER_MS)
    for drops in ({"stale": 2}, {"stale": 2}, {"stale": 5}):
        metrics.report("a", monitor.report(50 * NS_PER_MS), drops)
    metrics.report("b", monitor.report(50 * NS_PER_MS), {"stale": 1})
    got = samples(metrics)
    assert got["slipstream_ttff_seconds_count signal"] == 2
    assert got["slipstream_dropped_frames_total stale"] == 6


def test_servers_do_not_share_counters() -> None:
    """each has a registry of its own."""
    one, two = Metrics(), Metrics()
    one.frame_in()
    one.chunk(StageTimes(encode_ms=3.0), missed=True)
    assert samples(one)["slipstream_frames_total in"] == 1
    assert samples(one)["slipstream_chunk_misses_total"] == 1
    assert samples(two).get("slipstream_frames_total in", 0) == 0


def test_without_a_stream_no_level_is_met_and_none_is_missed() -> None:
    """no data has no sample; the budgets of streams that have ended stay."""
    metrics = Metrics()
    assert not [name for name in samples(metrics) if name.startswith("slipstream_slo_met_ratio")]
    monitor = SloMonitor(SloTargets(), offered_ns=0)
    report = monitor.report(2 * NS_PER_S)
    metrics.report("a", report, {})
    metrics.slo.add({ServiceLevel.RATE: Tally(good=45, bad=15)}, now_ns())
    got = samples(metrics)
    assert got["slipstream_slo_met_ratio ttff"] == 0
    assert "slipstream_slo_met_ratio rate" not in got
    assert metrics.slo_summary()[ServiceLevel.TTFF].met_ratio == 0
    assert got["slipstream_slo_age_streams sent"] == 0
    metrics.report("b", dataclasses.replace(report, age_covers=AgeCovers.GLASS), {})
    assert samples(metrics)["slipstream_slo_age_streams glass"] == 1
    metrics.forget("b")
    metrics.forget("a")
    got = samples(metrics)
    assert got["slipstream_slo_age_streams glass"] == 0
    assert "slipstream_slo_met_ratio ttff" not in got
    assert got["slipstream_slo_events_total good rate"] == 45
    assert got["slipstream_slo_burn_rate rate 5m"] == pytest.approx(2.5)
    assert got["slipstream_slo_budget_left_ratio rate"] == pytest.approx(-1.5)
    assert "slipstream_slo_budget_left_ratio age" not in got


def test_the_engine_is_in_one_state() -> None:
    got = samples(Metrics())
    states = {state: got[f"slipstream_engine_state {state}"] for state in EngineState}
    assert states == {state: float(state is EngineState.READY) for state in EngineState}
    assert got["slipstream_engine_restarts"] == 3


def test_what_viewers_see_is_counted() -> None:
    """seconds of any number of viewers add up; no label names one."""
    metrics = Metrics()
    for lost in (0, 4):
        metrics.media.observe_client(
            stats(
                freezes=1,
                frozen_ms=250.0,
                lost_packets=lost,
                received_packets=100,
                rtt_ms=3.0,
                glass_ms=GlassToGlassMs(p50=180.0, p95=260.0),
            )
        )
    got = samples(metrics)
    assert got["slipstream_viewer_freezes_total"] == 2
    assert got["slipstream_viewer_frozen_seconds_total"] == 0.5
    assert got["slipstream_viewer_packets_total lost"] == 4
    assert got["slipstream_glass_to_glass_seconds_bucket 0.2 50"] == 2
    assert got["slipstream_glass_to_glass_seconds_bucket 0.2 95"] == 0
    assert got["slipstream_viewer_rtt_seconds_count"] == 2
    assert got["slipstream_viewer_jitter_buffer_seconds_count"] == 0


def counts(
    *,
    nack: int = 0,
    sent: int = 0,
    size: int = 0,
    bitrate_bps: int | None = None,
    paced_ns: int = 0,
) -> MediaStats:
    return MediaStats(
        received={"nack": nack, "pli": 0},
        sent={"sent": sent, "bytes": size},
        bitrate_bps=bitrate_bps,
        paced_ns=paced_ns,
        dropped_timings=0,
    )


def test_the_media_of_all_calls_add_up() -> None:
    """totals that are reported every second count once, also where a session comes again."""
    metrics = Metrics()
    for totals in (counts(nack=3, sent=10, size=1000), counts(nack=5, sent=30, size=4000)):
        metrics.media.report("a", totals)
        metrics.media.report("a", totals)
    metrics.media.report("b", counts(nack=1, sent=7, size=500, paced_ns=NS_PER_S // 4))
    metrics.media.forget("a")
    metrics.media.report("a", counts(nack=2))
    got = samples(metrics)
    assert got["slipstream_media_events_total in nack"] == 5 + 1 + 2
    assert got["slipstream_media_events_total out sent"] == 30 + 7
    assert got["slipstream_encoded_bytes_total"] == 4500
    assert got["slipstream_pacer_wait_seconds_total"] == 0.25
    assert "slipstream_media_events_total in pli" not in got


def test_the_bitrate_is_that_of_the_calls_now() -> None:
    """all together, and of the poorest link; a call without a picture has none."""
    metrics = Metrics()
    for call, bitrate_bps in (("a", 2_500_000), ("b", 400_000), ("c", None), ("d", 300_000)):
        metrics.media.report(call, counts(bitrate_bps=bitrate_bps))
    metrics.media.forget("d")
    got = samples(metrics)
    assert got["slipstream_bitrate_bps all"] == 2_900_000
    assert got["slipstream_bitrate_bps poorest"] == 400_000


async def test_a_call_shows_in_the_metrics(tmp_path: Path) -> None:
    """frames, ages, offers and sessions of a real call; its gauges go when it does."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera()) as call:
            await call.until_event("slo")
            await call.until(lambda: sum(event["type"] == "slo" for event in call.events) >= 2)
            async with server.client.get("/metrics") as response:
                assert response.content_type == "text/plain"
                got = parsed(await response.text())
            async with server.client.delete(f"/api/v1/webrtc/offer/{call.id}"):
                pass
        assert got["slipstream_sessions stream"] == 1
        assert got["slipstream_offers_total 200"] == 1
        assert got["slipstream_frames_total in"] > 0
        assert got["slipstream_frame_age_seconds_count"] > 0
        assert got["slipstream_fps in"] > 0
        assert got["slipstream_media_events_total out sent"] > 0
        assert got["slipstream_media_events_total out key"] >= 1
        assert got["slipstream_media_events_total out opened"] == 1
        assert got["slipstream_bitrate_bps all"] > 0
        async with server.client.get("/metrics") as response:
            after = parsed(await response.text())
        assert after["slipstream_sessions stream"] == 0
        assert after["slipstream_fps in"] == 0
        assert after["slipstream_bitrate_bps all"] == 0
