"""The streams of a server for Prometheus, in a registry of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from slipstream_protocol.clock import now_ns
from slipstream_protocol.messages import StageTimes

from slipstream_server.engine_status import EngineStatus
from slipstream_server.observability.error_budget import ServiceLevel
from slipstream_server.observability.exposition import render
from slipstream_server.observability.frame_stages import FrameStagesMs
from slipstream_server.observability.http_metrics import HttpMetrics
from slipstream_server.observability.media_metrics import MediaMetrics, ReportedTotals
from slipstream_server.observability.process_metrics import EngineGauges, ProcessMetrics
from slipstream_server.observability.slo_metrics import LevelSummary, SloMetrics
from slipstream_server.observability.slo_report import Milestone, SloReport, SloTargets

_MS_PER_S = 1000.0
_TTFF_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_AGE_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
_GAP_S = (0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.25, 0.5, 1.0)
_FRAME_STAGE_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
_STAGE_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCounts:
    """Calls now, by kind, and streams without a publisher.

    Args:
        held: streams within their resume window.
        waiting: callers in the line for a place.
    """

    publishers: int = 0
    subscribers: int = 0
    held: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuCores:
    """Processor cores that the server takes for a stream, None if not known, and the engine."""

    stream: float | None = None
    engine: float = 0.0


class Metrics:
    """Counters and histograms over all streams, and gauges computed when the metrics are read.

    Args:
        targets: of every stream's service levels.
    """

    def __init__(self, targets: SloTargets | None = None) -> None:
        self._registry = registry = CollectorRegistry()
        self.media = MediaMetrics(registry)
        self.http = HttpMetrics(registry)
        self.slo = SloMetrics(registry, targets or SloTargets())
        self._process = ProcessMetrics(registry)
        self._reports: dict[str, SloReport] = {}
        self._dropped_frames = ReportedTotals()
        self._reached: dict[str, set[Milestone]] = {}

        self._ttff = Histogram(
            "slipstream_ttff_seconds",
            "Time from the offer to each milestone",
            ["milestone"],
            registry=registry,
            buckets=_TTFF_S,
        )
        self._age = Histogram(
            "slipstream_frame_age_seconds",
            "Age of a frame: capture to sent",
            registry=registry,
            buckets=_AGE_S,
        )
        self._gap = Histogram(
            "slipstream_send_gap_seconds",
            "Time between two frames sent of one stream",
            registry=registry,
            buckets=_GAP_S,
        )
        self._stage = Histogram(
            "slipstream_engine_stage_seconds",
            "Time of a chunk in each stage of the engine",
            ["stage"],
            registry=registry,
            buckets=_STAGE_S,
        )
        frame_stage = Histogram(
            "slipstream_frame_stage_seconds",
            "Time of a frame in each stage from its first packet to sent",
            ["stage"],
            registry=registry,
            buckets=_FRAME_STAGE_S,
        )
        frames = Counter(
            "slipstream_frames",
            "Camera frames in, generated frames out",
            ["way"],
            registry=registry,
        )
        # looked up once: every frame of every stream passes here
        self._frame_stages = [
            (stage, frame_stage.labels(stage)) for stage in FrameStagesMs.__slots__
        ]
        self._frames_in, self._frames_out = frames.labels("in"), frames.labels("out")
        self._chunks = Counter(
            "slipstream_chunks",
            "Chunks generated, or dropped for their deadline",
            registry=registry,
        )
        self._misses = Counter(
            "slipstream_chunk_misses", "Chunks later than their deadline", registry=registry
        )
        self._level_moves = Counter(
            "slipstream_level_moves",
            "Moves of streams on the quality ladder, by way and cause",
            ["way", "cause"],
            registry=registry,
        )
        self._camera_turns = Counter(
            "slipstream_camera_turns",
            "Times that a camera came to another shape, and whether its stream followed",
            ["outcome"],
            registry=registry,
        )
        self._drops = Counter(
            "slipstream_dropped_frames", "Frames dropped, by cause", ["cause"], registry=registry
        )
        self._port_drops = Counter(
            "slipstream_media_port_drops",
            "Datagrams and streams on the media port that belong to no call, by cause",
            ["cause"],
            registry=registry,
        )
        self._port_totals = ReportedTotals()
        self._read_port_drops: Callable[[], Mapping[str, int]] = dict
        self._waiting = Gauge(
            "slipstream_waiting_callers", "Callers in the line for a place now", registry=registry
        )
        self._left_line = Counter(
            "slipstream_waiting_ended",
            "Callers who wait no longer, by cause; full: who found no room in the line",
            ["cause"],
            registry=registry,
        )
        self._line_totals = ReportedTotals()
        self._read_line: Callable[[], Mapping[str, int]] = dict
        self._cpu = Gauge(
            "slipstream_cpu_cores",
            "Processor cores taken: by the server for each stream, and by the engine",
            ["of"],
            registry=registry,
        )
        self._read_cpu: Callable[[], CpuCores] = CpuCores
        self._offers = Counter(
            "slipstream_offers",
            "Offers, by HTTP status of the answer",
            ["status"],
            registry=registry,
        )
        self._wrong_tokens = Counter(
            "slipstream_wrong_tokens",
            "Requests with a token that is wrong or has expired",
            registry=registry,
        )
        self._sessions = Gauge(
            "slipstream_sessions",
            "Sessions now, by kind; held: streams that wait for their publisher",
            ["kind"],
            registry=registry,
        )
        self._fps = Gauge(
            "slipstream_fps", "Frames a second now, over all streams", ["way"], registry=registry
        )
        self._age_p95 = Gauge(
            "slipstream_frame_age_p95_seconds",
            "Age p95 of the worst stream, last 10 s",
            registry=registry,
        )
        self._jitter = Gauge(
            "slipstream_jitter_p95_seconds",
            "Jitter p95 of the worst stream, last 10 s, per frame and per chunk",
            ["per"],
            registry=registry,
        )
        self._engine = EngineGauges(registry)

    def frame_in(self) -> None:
        """A camera frame has come."""
        self._frames_in.inc()

    def frame_out(self, stages: FrameStagesMs, *, age_ms: float, gap_ms: float | None) -> None:
        """A generated frame was sent; `gap_ms` from the last, None where none belongs before it."""
        self._frames_out.inc()
        self._age.observe(age_ms / _MS_PER_S)
        if gap_ms is not None:
            self._gap.observe(gap_ms / _MS_PER_S)
        for stage, histogram in self._frame_stages:
            histogram.observe(getattr(stages, stage) / _MS_PER_S)

    def chunk(self, stages: StageTimes, *, missed: bool) -> None:
        """A chunk has come from the engine."""
        self._chunks.inc()
        self._misses.inc(missed)
        self._stage.labels("encode").observe(stages.encode_ms / _MS_PER_S)
        self._stage.labels("denoise").observe(stages.denoise_ms / _MS_PER_S)
        self._stage.labels("decode").observe(stages.decode_ms / _MS_PER_S)

    def chunk_dropped(self) -> None:
        """The engine has given up a chunk for its deadline: that is a miss."""
        self._chunks.inc()
        self._misses.inc()

    def level_moved(self, cause: str, *, is_down: bool) -> None:
        """A stream goes to another level of its quality ladder."""
        self._level_moves.labels("down" if is_down else "up", cause).inc()

    def camera_turned(self, outcome: str, times: int) -> None:
        """A camera's pictures had another shape; see `SizeChoice.turns`."""
        self._camera_turns.labels(outcome).inc(times)

    def offer(self, status: int) -> None:
        """An offer was answered with this HTTP status."""
        self._offers.labels(str(status)).inc()

    def wrong_token(self) -> None:
        """A request has come with a token that is wrong or has expired."""
        self._wrong_tokens.inc()

    def report(self, session: str, report: SloReport, drops: Mapping[str, int]) -> None:
        """Take over a stream's figures; what they count is counted once.

        Args:
            drops: frames dropped in total, by cause.
        """
        self._reports[session] = report
        reached = self._reached.setdefault(session, set())
        for milestone, reached_ms in report.ttff_ms.items():
            if milestone not in reached:
                reached.add(milestone)
                self._ttff.labels(milestone.value).observe(reached_ms / _MS_PER_S)
        for cause, total in drops.items():
            self._drops.labels(cause).inc(self._dropped_frames.added(session, (cause,), total))

    def forget(self, session: str) -> None:
        """A stream has ended: its share of the gauges goes."""
        self._reports.pop(session, None)
        self._reached.pop(session, None)
        self._dropped_frames.forget(session)

    def slo_summary(self) -> Mapping[ServiceLevel, LevelSummary]:
        """Verdicts and error budgets over all streams, now."""
        return self.slo.summary(self._reports.values(), now_ns())

    def watch_media_port(self, drops: Callable[[], Mapping[str, int]]) -> None:
        """Export what the media port has dropped so far, by cause, as it is when that is read."""
        self._read_port_drops = drops

    def watch_line(self, leavings: Callable[[], Mapping[str, int]]) -> None:
        """Export who has left the line so far, by cause, as it is when that is read."""
        self._read_line = leavings

    def watch_cpu(self, cores: Callable[[], CpuCores]) -> None:
        """Export what streams and engine take, as it is when that is read."""
        self._read_cpu = cores

    def render(self, engine: EngineStatus, calls: CallCounts) -> bytes:
        """All of it in Prometheus' text format."""
        self._sessions.labels("stream").set(calls.publishers)
        self._sessions.labels("viewer").set(calls.subscribers)
        self._sessions.labels("held").set(calls.held)
        self._waiting.set(calls.waiting)
        cores = self._read_cpu()
        self._cpu.labels("engine").set(cores.engine)
        if cores.stream is not None:
            self._cpu.labels("stream").set(cores.stream)
        for cause, total in self._read_line().items():
            self._left_line.labels(cause).inc(self._line_totals.added("", (cause,), total))
        self._engine.update(engine)
        self.media.update_gauges()
        self.http.update()
        self._process.update_gauges()
        self._update_gauges(list(self._reports.values()))
        self.slo.update_gauges(self._reports.values(), now_ns())
        for cause, total in self._read_port_drops().items():
            self._port_drops.labels(cause).inc(self._port_totals.added("", (cause,), total))
        return render(self._registry)

    def _update_gauges(self, reports: list[SloReport]) -> None:
        self._fps.labels("in").set(sum(report.fps_in for report in reports))
        self._fps.labels("out").set(sum(report.fps_out for report in reports))
        worst_age_ms = max((r.age_ms.p95 for r in reports if r.age_ms), default=0.0)
        self._age_p95.set(worst_age_ms / _MS_PER_S)
        worst_frame_ms = max((r.jitter_frame_ms or 0.0 for r in reports), default=0.0)
        worst_chunk_ms = max((r.jitter_chunk_ms or 0.0 for r in reports), default=0.0)
        self._jitter.labels("frame").set(worst_frame_ms / _MS_PER_S)
        self._jitter.labels("chunk").set(worst_chunk_ms / _MS_PER_S)
