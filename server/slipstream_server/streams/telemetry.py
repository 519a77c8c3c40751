"""One stream's figures over all its calls: collected as they arise, reported once a second."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping

from slipstream_protocol.clock import NS_PER_MS, now_ns

from slipstream_server.control.slo_event import SkewMs, Slo, slo_event
from slipstream_server.errors import Conflict
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.client_stats import ClientStats
from slipstream_server.observability.error_budget import ErrorBudgets
from slipstream_server.observability.frame_stages import FrameStagesMs
from slipstream_server.observability.frame_trace import FrameTrace
from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.send.fanout import Fanout
from slipstream_server.streams.chunk_pipe import ChunkPipe, total_drops
from slipstream_server.streams.sound_pipe import SoundPipe


class StreamTelemetry:
    """Keeps monitor and metrics of one stream.

    Args:
        chunk_pipe, fanout, sound: of the stream.
        returns_video: whether the publisher's call is sent frames by a playout of its own; else the
            fan-out's playout serves everybody.
        monitor: of the stream's service levels.
        targets: of the service levels.
        metrics: of the whole server.
    """

    def __init__(
        self,
        chunk_pipe: ChunkPipe,
        fanout: Fanout,
        sound: SoundPipe,
        *,
        returns_video: bool,
        monitor: SloMonitor,
        targets: SloTargets,
        metrics: Metrics,
    ) -> None:
        self._chunk_pipe = chunk_pipe
        self._fanout = fanout
        self._sound = sound
        self._returns_video = returns_video
        self._monitor = monitor
        self._targets = targets
        self._metrics = metrics
        self._shared_key = f"{chunk_pipe.id} shared"  # ids of sessions have no spaces
        self._sent_ns: int | None = None
        self._trace: FrameTrace | None = None
        self._past_drops: Counter[str] = Counter()
        self._budgets = ErrorBudgets(targets.objectives)

    def frame_received(self, arrived_ns: int) -> None:
        """A frame of the camera has arrived."""
        self._monitor.observe_input(arrived_ns)
        self._metrics.frame_in()

    def frame_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """A generated frame goes out; a repeated one is only a break between two others."""
        if scheduled.generated.repeated_after_ns:
            self.interrupt()
            return
        age_ms = self._monitor.observe_sent(scheduled, sent_ns)
        if self._trace is not None:
            self._trace.frame_sent(scheduled, sent_ns)
        gap_ms = None if self._sent_ns is None else (sent_ns - self._sent_ns) / NS_PER_MS
        self._sent_ns = sent_ns
        stages = FrameStagesMs.of(scheduled, sent_ns)
        self._metrics.frame_out(stages, age_ms=age_ms, gap_ms=gap_ms)

    @contextlib.contextmanager
    def tracing(self) -> Iterator[FrameTrace]:
        """Record the stream's frames while the block runs.

        Raises:
            Conflict: if they are recorded already.
        """
        if self._trace is not None:
            raise Conflict("this stream is being traced already, wait until that has ended")
        self._trace = FrameTrace()
        try:
            yield self._trace
        finally:
            self._trace = None

    def client_stats_received(self, stats: ClientStats, now_ns: int) -> None:
        """Statistics of the publisher's browser, over its last second."""
        self._monitor.observe_client(stats, now_ns)
        self._metrics.media.observe_client(stats)

    def interrupt(self) -> None:
        """There is a break: no gap and no jitter is measured from the last frame to the next."""
        self._sent_ns = None
        self._monitor.reset_gaps()

    def begin_call(self, now_ns: int) -> None:
        """A publisher comes back, or ends a pause."""
        self._monitor.begin_call(now_ns)

    def end_call(self, now_ns: int) -> None:
        """The publisher has left, or pauses."""
        self._monitor.end_call(now_ns)

    def add_drops(self, drops: Mapping[str, int]) -> None:
        """Add the drops of a call that has ended."""
        self._past_drops.update(drops)

    def report(self, drops: Mapping[str, int]) -> Slo:
        """The figures of now; they go to the metrics too.

        Args:
            drops: of the publisher's call.
        """
        now = now_ns()
        report = self._monitor.report(now)
        self._count(now)
        total = total_drops(self._past_drops, drops, self._chunk_pipe.drops)
        if not self._returns_video:
            total.update(self._fanout.playout.drops)
        if self._trace is not None:
            self._trace.dropped(total, now_ns())
        self._metrics.report(self._chunk_pipe.id, report, total)
        self._metrics.media.report(self._shared_key, self._media_stats())
        return slo_event(report, self._targets, total, self._budgets.report(now), skew=self._skew())

    def close(self) -> None:
        """The stream has ended: remove it from the gauges."""
        self._count(now_ns())
        self._metrics.forget(self._chunk_pipe.id)
        self._metrics.media.report(self._shared_key, self._media_stats())
        self._metrics.media.forget(self._shared_key)

    def _count(self, now_ns: int) -> None:
        """Add what has been seen to the budgets of the stream and of the server."""
        tallies = self._monitor.take_tallies(now_ns)
        self._budgets.add(tallies, now_ns)
        self._metrics.slo.add(tallies, now_ns)

    def _skew(self) -> SkewMs | None:
        skew = self._sound.skew()
        return None if skew is None else SkewMs(p50=skew.p50_ms, p95=skew.p95_ms)

    def _media_stats(self) -> MediaStats:
        """Of the video encoded for all subscribers, and of the sound; calls count their own."""
        return MediaStats(
            received=self._sound.counts,
            sent=self._fanout.counts,
            bitrate_bps=None,
            paced_ns=0,
            dropped_timings=0,
        )
