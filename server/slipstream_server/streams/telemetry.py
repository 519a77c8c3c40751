"""One stream's figures over all its calls: noted as things happen, told once a second."""

from collections import Counter
from collections.abc import Mapping

from slipstream_protocol.clock import NS_PER_MS, now_ns

from slipstream_server.control.events import Slo, slo_event
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.client_stats import ClientStats
from slipstream_server.observability.media_stats import MediaStats
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo import SloMonitor, SloTargets
from slipstream_server.send.fanout import Fanout
from slipstream_server.streams.chunk_pipe import ChunkPipe, total_drops


class StreamTelemetry:
    """Keeps monitor and metrics of one stream.

    Args:
        chunk_pipe, fanout: whose figures they are.
        returns: whether its own call has a picture of its own; else all share the broadcast's.
        monitor: of its service levels.
        targets: that they are held against.
        metrics: of the whole server.
    """

    def __init__(
        self,
        chunk_pipe: ChunkPipe,
        fanout: Fanout,
        *,
        returns: bool,
        monitor: SloMonitor,
        targets: SloTargets,
        metrics: Metrics,
    ) -> None:
        self._chunk_pipe = chunk_pipe
        self._fanout = fanout
        self._returns = returns
        self._monitor = monitor
        self._targets = targets
        self._metrics = metrics
        self._shared_key = f"{chunk_pipe.id} shared"  # the ids of calls have no spaces
        self._sent_ns: int | None = None
        self._past_drops: Counter[str] = Counter()

    def came(self, arrived_ns: int) -> None:
        """A frame of the camera is here."""
        self._monitor.observe_input(arrived_ns)
        self._metrics.frame_in()

    def sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """A generated frame is on its way."""
        age_ms = self._monitor.observe_sent(scheduled, sent_ns)
        gap_ms = None if self._sent_ns is None else (sent_ns - self._sent_ns) / NS_PER_MS
        self._sent_ns = sent_ns
        self._metrics.frame_out(age_ms=age_ms, gap_ms=gap_ms)

    def viewed(self, stats: ClientStats, now_ns: int) -> None:
        """The viewer's browser has told of its last second."""
        self._monitor.observe_client(stats, now_ns)
        self._metrics.media.observe_client(stats)

    def interrupted(self) -> None:
        """What comes next does not follow what was before: no gap, no jitter lies between."""
        self._sent_ns = None
        self._monitor.reset_gaps()

    def left(self, drops: Mapping[str, int]) -> None:
        """A call has ended, with these."""
        self._past_drops.update(drops)

    def report(self, drops: Mapping[str, int]) -> Slo:
        """The figures of now; the metrics have them too.

        Args:
            drops: of the call that carries the stream.
        """
        report = self._monitor.report(now_ns())
        total = total_drops(self._past_drops, drops, self._chunk_pipe.drops)
        if not self._returns:
            total.update(self._fanout.playout.drops)
        self._metrics.report(self._chunk_pipe.id, report, total)
        self._metrics.media.report(self._shared_key, self._counts())
        return slo_event(report, self._targets, total)

    def close(self) -> None:
        """The stream has ended: its share of the gauges goes."""
        self._metrics.forget(self._chunk_pipe.id)
        self._metrics.media.report(self._shared_key, self._counts())
        self._metrics.media.forget(self._shared_key)

    def _counts(self) -> MediaStats:
        """Of the picture encoded for all who watch; calls count their own."""
        sent = self._fanout.counts
        return MediaStats(received={}, sent=sent, bitrate_bps=None, paced_ns=0, dropped_timings=0)
