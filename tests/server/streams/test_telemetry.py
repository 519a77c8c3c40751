"""A stream's figures over its breaks."""

from typing import cast

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.send.fanout import Fanout
from slipstream_server.streams.chunk_pipe import ChunkPipe, ChunkPipeOwner
from slipstream_server.streams.telemetry import StreamTelemetry

from tests.server.observability.test_metrics import samples
from tests.server.stamped import generated_frame, ms
from tests.server.streams.test_chunk_pipe import READY

GAPS = "slipstream_send_gap_seconds"


def test_no_gap_is_measured_over_a_break() -> None:
    """two frames before it and two after it have two gaps between them, not three."""
    monitor, metrics = SloMonitor(SloTargets(), offered_ns=0), Metrics()
    telemetry = StreamTelemetry(
        ChunkPipe("s", READY, monitor, metrics, cast(ChunkPipeOwner, None)),
        cast(Fanout, None),
        returns_video=True,
        monitor=monitor,
        targets=SloTargets(),
        metrics=metrics,
    )
    for at_ms in (100, 140, 60_000, 60_030):
        if at_ms == 60_000:
            telemetry.interrupt()
        frame = ScheduledFrame(
            generated=generated_frame(at_ms - 90), play_ns=ms(at_ms), popped_ns=ms(at_ms)
        )
        telemetry.frame_sent(frame, ms(at_ms))
    got = samples(metrics)
    assert got[f"{GAPS}_count"] == 2
    assert round(got[f"{GAPS}_sum"], 3) == 0.07
