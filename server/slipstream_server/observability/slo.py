"""What the viewer gets, held against what was promised. Pure.

Definitions before numbers. `age` is capture to sent, per frame. `gap` is the time between two
frames sent; `jitter` per frame is how far that is from the distance of their play times, and per
chunk how far the distance of two chunks' arrivals is from the distance of their captures. A chunk
is a `miss` when its oldest frame was already older than the age target on arrival from the engine,
or when the engine has given it up for its deadline. All of these are over a sliding window; `ttff`
is counted from the offer. What the viewer's browser tells (`observability/client_stats.py`) is
reported beside them.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame, ScheduledFrame
from slipstream_server.observability.client_stats import (
    ClientStats,
    ClientStatsReport,
    ClientStatsWindow,
)

WINDOW_NS = 10 * NS_PER_S


class Milestone(StrEnum):
    """The way to the first frame; each is timed from the offer."""

    SIGNAL = "signal"  # the answer is out
    ICE = "ice"  # the peers are connected
    FIRST_INPUT = "first_input"  # a camera frame is decoded
    FIRST_GENERATED = "first_generated"  # the engine has made a chunk
    FIRST_SENT = "first_sent"  # a generated frame is handed to the encoder
    FIRST_SHOWN = "first_shown"  # the page says it is on screen


@dataclass(frozen=True, slots=True, kw_only=True)
class SloTargets:
    """The contract.

    Raises:
        ValueError: if a target is not positive, or a share is not within 0 to 1.
    """

    ttff_ms: float = 1000.0
    age_ms: float = 1000.0
    miss_ratio: float = 0.01

    def __post_init__(self) -> None:
        for name in ("ttff_ms", "age_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        if not 0 <= self.miss_ratio <= 1:
            raise ValueError(f"miss_ratio is {self.miss_ratio}, it must be between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShares:
    """Mean milliseconds a frame spends in each stage: waiting for its chunk and for the engine, in
    the engine's three parts, and waiting for its time to be shown."""

    wait: float
    encode: float
    denoise: float
    decode: float
    playout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Whether each promise is kept; None before it can be told."""

    ttff: bool | None
    age: bool | None
    miss: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SloReport:
    """The figures of one stream at one moment; None where nothing has been seen yet."""

    ttff_ms: Mapping[Milestone, float]
    ttff_paper_ms: float | None
    age_ms: Percentiles | None
    gap_ms: Percentiles | None
    jitter_frame_ms: float | None
    jitter_chunk_ms: float | None
    fps_in: float
    fps_out: float
    miss_ratio: float | None
    stages_ms: StageShares | None
    viewer: ClientStatsReport | None
    holds: Holds


def percentiles(values: list[float]) -> Percentiles | None:
    """Nearest-rank percentiles, or None of nothing."""
    if not values:
        return None
    ordered = sorted(values)

    def rank(percent: int) -> float:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    return Percentiles(p50=rank(50), p95=rank(95), p99=rank(99))


@dataclass(slots=True)
class _Window:
    """Rows `(time, values...)` of the last `WINDOW_NS`."""

    rows: deque[tuple[int, tuple[float, ...]]] = field(default_factory=deque)

    def add(self, now_ns: int, *values: float) -> None:
        self.rows.append((now_ns, values))

    def trim(self, now_ns: int) -> None:
        while self.rows and self.rows[0][0] < now_ns - WINDOW_NS:
            self.rows.popleft()

    def column(self, index: int) -> list[float]:
        return [values[index] for _, values in self.rows]

    def rate_hz(self, now_ns: int, since_ns: int) -> float:
        """Rows a second, over the window or over the time since the start where that is shorter."""
        span_ns = min(WINDOW_NS, now_ns - since_ns)
        return len(self.rows) * NS_PER_S / span_ns if span_ns > 0 else 0.0


class SloMonitor:
    """Figures of one stream from its events; every time is an argument.

    Args:
        targets: the contract.
        offered_ns: when the offer came.
    """

    def __init__(self, targets: SloTargets, *, offered_ns: int) -> None:
        self._targets = targets
        self._offered_ns = offered_ns
        self._milestones: dict[Milestone, int] = {}
        self._inputs = _Window()
        self._sent = _Window()  # age, gap, frame jitter, wait, playout
        self._dropped = _Window()  # chunks given up for their deadline, without columns
        self._chunks = _Window()  # missed, chunk jitter, engine time, encode, denoise, decode
        self._viewed = ClientStatsWindow()
        self._last_sent: tuple[int, int] | None = None  # sent, play
        self._last_chunk: tuple[int, int] | None = None  # received, captured

    def observe_milestone(self, milestone: Milestone, now_ns: int) -> None:
        """Note that `milestone` is reached; only the first time counts."""
        self._milestones.setdefault(milestone, now_ns)

    def observe_input(self, now_ns: int) -> None:
        """A camera frame has come."""
        self.observe_milestone(Milestone.FIRST_INPUT, now_ns)
        self._inputs.add(now_ns)

    def observe_chunk(self, first: GeneratedFrame) -> bool:
        """A chunk that begins with `first` has come; returns whether it was missed."""
        stamps = first.stamps
        now_ns = stamps.received_ns
        self.observe_milestone(Milestone.FIRST_GENERATED, now_ns)
        missed = (now_ns - first.captured_ns) / NS_PER_MS > self._targets.age_ms
        jitter_ms = 0.0
        if self._last_chunk is not None:
            received_ns, captured_ns = self._last_chunk
            gap_ns = (now_ns - received_ns) - (first.captured_ns - captured_ns)
            jitter_ms = abs(gap_ns) / NS_PER_MS
        self._last_chunk = now_ns, first.captured_ns
        self._chunks.add(now_ns, missed, jitter_ms, *_engine_times_ms(stamps))
        return missed

    def reset_gaps(self) -> None:
        """What comes next does not follow what was before: neither gap nor jitter lies between."""
        self._last_sent = self._last_chunk = None

    def observe_dropped(self, now_ns: int) -> None:
        """The engine has given up a chunk that could not be made in time: that is a miss, too."""
        self._dropped.add(now_ns)

    def observe_client(self, stats: ClientStats, now_ns: int) -> None:
        """The viewer's browser has told of its last second."""
        self._viewed.add(stats, now_ns)

    def observe_first_shown(self, told_ns: int | None, now_ns: int) -> None:
        """The page says that the first picture is on the screen.

        Args:
            told_ns: since when, by the page's knowledge of our clock. What cannot be, before the
                picture was sent or after it was told, is not believed.
        """
        sent_ns = self._milestones.get(Milestone.FIRST_SENT, now_ns)
        is_possible = told_ns is not None and sent_ns <= told_ns <= now_ns
        self.observe_milestone(
            Milestone.FIRST_SHOWN, told_ns if told_ns and is_possible else now_ns
        )

    def observe_sent(self, scheduled: ScheduledFrame, now_ns: int) -> float:
        """A frame has been handed to the encoder; returns its age in milliseconds."""
        self.observe_milestone(Milestone.FIRST_SENT, now_ns)
        frame, stamps = scheduled.generated, scheduled.generated.stamps
        age_ms = (now_ns - frame.captured_ns) / NS_PER_MS
        wait_ms = (stamps.taken_ns - frame.captured_ns) / NS_PER_MS
        playout_ms = (now_ns - stamps.received_ns) / NS_PER_MS
        if self._last_sent is None:
            gap_ms = jitter_ms = 0.0
        else:
            sent_ns, play_ns = self._last_sent
            gap_ms = (now_ns - sent_ns) / NS_PER_MS
            jitter_ms = abs(gap_ms - (scheduled.play_ns - play_ns) / NS_PER_MS)
        self._last_sent = now_ns, scheduled.play_ns
        self._sent.add(now_ns, age_ms, gap_ms, jitter_ms, wait_ms, playout_ms)
        return age_ms

    def report(self, now_ns: int) -> SloReport:
        """The figures of now."""
        for window in (self._inputs, self._sent, self._chunks, self._dropped):
            window.trim(now_ns)
        ttff_ms = {
            milestone: (reached_ns - self._offered_ns) / NS_PER_MS
            for milestone, reached_ns in self._milestones.items()
        }
        age = percentiles(self._sent.column(0))
        gaps = percentiles(self._sent.column(1))
        frame_jitter = percentiles(self._sent.column(2))
        chunk_jitter = percentiles(self._chunks.column(1))
        miss_ratio = self._miss_ratio()
        fps_in = self._rate_hz(self._inputs, Milestone.FIRST_INPUT, now_ns)
        return SloReport(
            ttff_ms=ttff_ms,
            ttff_paper_ms=self._paper_ttff_ms(fps_in),
            age_ms=age,
            gap_ms=gaps,
            jitter_frame_ms=frame_jitter.p95 if frame_jitter else None,
            jitter_chunk_ms=chunk_jitter.p95 if chunk_jitter else None,
            fps_in=fps_in,
            fps_out=self._rate_hz(self._sent, Milestone.FIRST_SENT, now_ns),
            miss_ratio=miss_ratio,
            stages_ms=self._stages(),
            viewer=self._viewed.report(now_ns),
            holds=Holds(
                ttff=self._holds_ttff(ttff_ms, now_ns),
                age=age.p95 <= self._targets.age_ms if age else None,
                miss=miss_ratio <= self._targets.miss_ratio if miss_ratio is not None else None,
            ),
        )

    def _miss_ratio(self) -> float | None:
        dropped, missed = len(self._dropped.rows), self._chunks.column(0)
        due = dropped + len(missed)
        return (dropped + sum(missed)) / due if due else None

    def _rate_hz(self, window: _Window, since: Milestone, now_ns: int) -> float:
        return window.rate_hz(now_ns, self._milestones.get(since, now_ns))

    def _paper_ttff_ms(self, fps_in: float) -> float | None:
        """The paper's own: the time to fill a chunk of four, and one steady chunk in the engine."""
        engine = percentiles(self._chunks.column(2))
        return 4 * 1000 / fps_in + engine.p50 if engine and fps_in > 0 else None

    def _holds_ttff(self, ttff_ms: Mapping[Milestone, float], now_ns: int) -> bool | None:
        sent_ms = ttff_ms.get(Milestone.FIRST_SENT)
        if sent_ms is not None:
            return sent_ms <= self._targets.ttff_ms
        waited_ms = (now_ns - self._offered_ns) / NS_PER_MS
        return False if waited_ms > self._targets.ttff_ms else None

    def _stages(self) -> StageShares | None:
        if not self._sent.rows or not self._chunks.rows:
            return None
        return StageShares(
            wait=_mean(self._sent.column(3)),
            encode=_mean(self._chunks.column(3)),
            denoise=_mean(self._chunks.column(4)),
            decode=_mean(self._chunks.column(5)),
            playout=_mean(self._sent.column(4)),
        )


def _engine_times_ms(stamps: ChunkStamps) -> tuple[float, float, float, float]:
    stages = stamps.stages
    engine_ms = (stamps.generated_ns - stamps.taken_ns) / NS_PER_MS
    return engine_ms, stages.encode_ms, stages.denoise_ms, stages.decode_ms


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
