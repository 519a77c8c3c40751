"""What the server does, for Prometheus; one registry of its own, no globals."""

from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from slipstream_protocol.messages import StageTimes

from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.media_metrics import MediaMetrics
from slipstream_server.observability.process_metrics import ProcessMetrics
from slipstream_server.observability.slo import Milestone, SloReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MS_PER_S = 1000.0
_TTFF_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_AGE_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
_GAP_S = (0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.25, 0.5, 1.0)
_STAGE_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class EngineGauges:
    """How the engine is, taken when somebody asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._state = Gauge(
            "slipstream_engine_state",
            "1 for the state the engine is in",
            ["state"],
            registry=registry,
        )
        self._restarts = Gauge(
            "slipstream_engine_restarts", "Times the engine was started again", registry=registry
        )

    def take(self, engine: EngineStatus) -> None:
        for state in EngineState:
            self._state.labels(state.value).set(state is engine.state)
        self._restarts.set(engine.restarts)


class Metrics:
    """Counters and histograms over all streams, and gauges taken when somebody asks."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.media = MediaMetrics(registry)
        self._process = ProcessMetrics(registry)
        self._reports: dict[str, SloReport] = {}
        self._counted_drops: dict[str, Counts[str]] = {}
        self._marked: dict[str, set[Milestone]] = {}

        self._ttff = Histogram(
            "slipstream_ttff_seconds",
            "From the offer to each milestone",
            ["milestone"],
            registry=registry,
            buckets=_TTFF_S,
        )
        self._age = Histogram(
            "slipstream_frame_age_seconds",
            "From capture to sent, per frame",
            registry=registry,
            buckets=_AGE_S,
        )
        self._gap = Histogram(
            "slipstream_send_gap_seconds",
            "Between two frames sent of one stream",
            registry=registry,
            buckets=_GAP_S,
        )
        self._stage = Histogram(
            "slipstream_engine_stage_seconds",
            "Of a chunk, in each stage of the engine",
            ["stage"],
            registry=registry,
            buckets=_STAGE_S,
        )
        self._frames = Counter(
            "slipstream_frames",
            "Camera frames in, generated frames out",
            ["way"],
            registry=registry,
        )
        self._chunks = Counter(
            "slipstream_chunks", "Chunks made, or given up for their deadline", registry=registry
        )
        self._misses = Counter(
            "slipstream_chunk_misses", "Chunks later than their deadline", registry=registry
        )
        self._drops = Counter(
            "slipstream_dropped_frames", "Frames dropped, by cause", ["cause"], registry=registry
        )
        self._offers = Counter(
            "slipstream_offers",
            "Offers by the status they were answered with",
            ["status"],
            registry=registry,
        )
        self._sessions = Gauge(
            "slipstream_sessions",
            "Calls now, by kind; held: streams without one",
            ["kind"],
            registry=registry,
        )
        self._fps = Gauge(
            "slipstream_fps", "Frames a second now, over all streams", ["way"], registry=registry
        )
        self._age_p95 = Gauge(
            "slipstream_frame_age_p95_seconds", "Of the worst stream, last 10 s", registry=registry
        )
        self._jitter = Gauge(
            "slipstream_jitter_p95_seconds",
            "Of the worst stream, last 10 s, per frame and per chunk",
            ["per"],
            registry=registry,
        )
        self._holds = Gauge(
            "slipstream_slo_holds",
            "Share of streams that keep each promise",
            ["slo"],
            registry=registry,
        )
        self._engine = EngineGauges(registry)

    def frame_in(self) -> None:
        self._frames.labels("in").inc()

    def frame_out(self, *, age_ms: float, gap_ms: float | None) -> None:
        self._frames.labels("out").inc()
        self._age.observe(age_ms / _MS_PER_S)
        if gap_ms is not None:
            self._gap.observe(gap_ms / _MS_PER_S)

    def chunk(self, stages: StageTimes, *, missed: bool) -> None:
        self._chunks.inc()
        self._misses.inc(missed)
        self._stage.labels("encode").observe(stages.encode_ms / _MS_PER_S)
        self._stage.labels("denoise").observe(stages.denoise_ms / _MS_PER_S)
        self._stage.labels("decode").observe(stages.decode_ms / _MS_PER_S)

    def chunk_dropped(self) -> None:
        """The engine has given a chunk up for its deadline: due, and missed."""
        self._chunks.inc()
        self._misses.inc()

    def offer(self, status: int) -> None:
        self._offers.labels(str(status)).inc()

    def report(self, session: str, report: SloReport, drops: Mapping[str, int]) -> None:
        """Take over a stream's figures; what they count is counted once."""
        self._reports[session] = report
        marked = self._marked.setdefault(session, set())
        for milestone, reached_ms in report.ttff_ms.items():
            if milestone not in marked:
                marked.add(milestone)
                self._ttff.labels(milestone.value).observe(reached_ms / _MS_PER_S)
        counted = self._counted_drops.setdefault(session, Counts())
        for cause, count in drops.items():
            self._drops.labels(cause).inc(count - counted[cause])
            counted[cause] = count

    def forget(self, session: str) -> None:
        """A stream has ended: its share of the gauges goes."""
        for kept in (self._reports, self._counted_drops, self._marked):
            kept.pop(session, None)

    def render(self, engine: EngineStatus, sessions: Mapping[str, int]) -> bytes:
        """All of it in Prometheus' text format."""
        for kind, count in sessions.items():
            self._sessions.labels(kind).set(count)
        self._engine.take(engine)
        self.media.take_gauges()
        self._process.take_gauges()
        self._take_gauges(list(self._reports.values()))
        return generate_latest(self._registry)

    def _take_gauges(self, reports: list[SloReport]) -> None:
        self._fps.labels("in").set(sum(report.fps_in for report in reports))
        self._fps.labels("out").set(sum(report.fps_out for report in reports))
        worst_age_ms = max((r.age_ms.p95 for r in reports if r.age_ms), default=0.0)
        self._age_p95.set(worst_age_ms / _MS_PER_S)
        worst_frame_ms = max((r.jitter_frame_ms or 0.0 for r in reports), default=0.0)
        worst_chunk_ms = max((r.jitter_chunk_ms or 0.0 for r in reports), default=0.0)
        self._jitter.labels("frame").set(worst_frame_ms / _MS_PER_S)
        self._jitter.labels("chunk").set(worst_chunk_ms / _MS_PER_S)
        for name in ("ttff", "age", "miss"):
            told = [kept for r in reports if (kept := getattr(r.holds, name)) is not None]
            self._holds.labels(name).set(sum(told) / len(told) if told else 1.0)


class FrontMetrics:
    """What a front knows that no worker does."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._engine = EngineGauges(registry)
        self._refused = Counter(
            "slipstream_refused_offers",
            "Offers that no media worker has answered, by status",
            ["status"],
            registry=registry,
        )
        self._up = Gauge(
            "slipstream_media_workers", "Media workers that take calls", registry=registry
        )
        self._restarts = Gauge(
            "slipstream_media_worker_restarts",
            "Times that media workers were started again",
            registry=registry,
        )

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def render(self, engine: EngineStatus, *, up: int, restarts: int) -> bytes:
        """All of it in Prometheus' text format."""
        self._engine.take(engine)
        self._up.set(up)
        self._restarts.set(restarts)
        return generate_latest(self._registry)
