"""A stream's figures over its breaks."""

from typing import cast

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.send.fanout import Fanout
from slipstream_server.streams.chunk_pipe import ChunkPipe, ChunkPipeOwner
from slipstream_server.streams.sound_pipe import SoundPipe
from slipstream_server.streams.telemetry import StreamTelemetry

from tests.server.observability.test_metrics import samples
from tests.server.stamped import generated_frame, ms
from tests.server.streams.test_chunk_pipe import READY

GAPS = "slipstream_send_gap_seconds"


def measured(monitor: SloMonitor, metrics: Metrics) -> StreamTelemetry:
    """The figures of a stream whose pictures go back to its publisher."""
    return StreamTelemetry(
        ChunkPipe("s", READY, monitor, metrics, cast(ChunkPipeOwner, None)),
        cast(Fanout, None),
        SoundPipe(),
        returns_video=True,
        monitor=monitor,
        targets=SloTargets(),
        metrics=metrics,
    )


def send(telemetry: StreamTelemetry, at_ms: float, *, repeated_after_ms: float = 0.0) -> None:
    """A frame of 90 ms goes out; or one that is repeated goes out so long after its capture."""
    frame = generated_frame(at_ms - 90 - repeated_after_ms, repeated_after_ms=repeated_after_ms)
    scheduled = ScheduledFrame(generated=frame, play_ns=ms(at_ms), popped_ns=ms(at_ms))
    telemetry.frame_sent(scheduled, ms(at_ms))


def test_no_gap_is_measured_over_a_break() -> None:
    """two frames before it and two after it have two gaps between them, not three."""
    metrics = Metrics()
    telemetry = measured(SloMonitor(SloTargets(), offered_ns=0), metrics)
    for at_ms in (100, 140, 60_000, 60_030):
        if at_ms == 60_000:
            telemetry.interrupt()
        send(telemetry, at_ms)
    got = samples(metrics)
    assert got[f"{GAPS}_count"] == 2
    assert round(got[f"{GAPS}_sum"], 3) == 0.07


def test_a_repeated_frame_is_no_frame_sent() -> None:
    """it adds nothing to rate, age and gap: they are about the frames that the camera has sent."""
    monitor, metrics = SloMonitor(SloTargets(), offered_ns=0), Metrics()
    telemetry = measured(monitor, metrics)
    send(telemetry, 100)
    for at_ms in (2100, 4100, 6100):
        send(telemetry, at_ms, repeated_after_ms=at_ms - 100)
    send(telemetry, 6500)
    report = monitor.report(ms(7000))
    assert report.fps_out == 2 / 6.9
    assert report.age_ms is not None and report.age_ms.p99 == 90
    assert samples(metrics)[f"{GAPS}_count"] == 0
