"""The service levels of one stream, measured against their targets. Pure.

Definitions. `age` is capture to sent, per frame. `gap` is the time between two frames sent;
`jitter` per frame is how far that is from the distance of their play times, and per chunk how far
the distance of two chunks' arrivals is from the distance of their captures. A chunk is a `miss`
when its oldest frame was already older than the age target on arrival from the engine, or when the
engine has given it up for its deadline. The verdict on `age` is by what the viewer's page measures
to its screen, where it does (`judged_age.py`). `rate` is the share of the frames due that are shown
(`shown_rate.py`). A frame that is repeated since the camera sends no other
counts for the moment it stands for, and not as a frame sent. All of these are over a sliding
window; `ttff` (time to first frame) is counted from the offer. What else the viewer's browser
reports (`observability/client_stats.py`) is passed on beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS

from slipstream_server.frames.playout import GeneratedFrame, ScheduledFrame
from slipstream_server.observability.client_stats import ClientStats, ClientStatsWindow
from slipstream_server.observability.error_budget import ServiceLevel, Tallies, Tally
from slipstream_server.observability.first_frames import FirstFrames
from slipstream_server.observability.judged_age import AgeJudge
from slipstream_server.observability.shown_rate import ShownRate
from slipstream_server.observability.sliding_window import Row, SlidingWindow
from slipstream_server.observability.slo_report import (
    Holds,
    Milestone,
    Percentiles,
    SloReport,
    SloTargets,
    StageShares,
    percentiles,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A frame that was sent."""

    age_ms: float
    gap_ms: float
    jitter_ms: float
    wait_ms: float
    playout_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """A chunk that has come from the engine."""

    is_missed: bool
    jitter_ms: float
    engine_ms: float
    encode_ms: float
    denoise_ms: float
    decode_ms: float


class SloMonitor:
    """Computes the figures of one stream from its events; every time is an argument.

    Args:
        targets: of the stream.
        offered_ns: when the offer came.
    """

    def __init__(self, targets: SloTargets, *, offered_ns: int) -> None:
        self._targets = targets
        self._offered_ns = offered_ns
        self._milestones: dict[Milestone, int] = {}
        self._inputs = SlidingWindow[None]()
        self._last_input_ns: int | None = None
        self._sent = SlidingWindow[_Sent]()
        self._chunks = SlidingWindow[_Chunk]()
        self._dropped_chunks = SlidingWindow[None]()  # given up for their deadline
        self._client_stats = ClientStatsWindow()
        self._age_judge = AgeJudge()
        self._shown_rate = ShownRate()
        self._first_frames = FirstFrames(round(targets.ttff_ms * NS_PER_MS))
        self._first_frames.begin(offered_ns)
        self._ages, self._misses = Tally(), Tally()  # since they were taken
        self._last_sent: tuple[int, int] | None = None  # sent, play
        self._last_chunk: tuple[int, int] | None = None  # received, stands for

    def observe_milestone(self, milestone: Milestone, now_ns: int) -> None:
        """`milestone` is reached; only the first time counts."""
        self._milestones.setdefault(milestone, now_ns)

    def observe_input(self, now_ns: int) -> None:
        """A camera frame has come."""
        self.observe_milestone(Milestone.FIRST_INPUT, now_ns)
        self._inputs.add(now_ns, None)
        self._last_input_ns = now_ns
        self._shown_rate.on_camera_frame(now_ns)

    def observe_model(self, *, fps: float | None) -> None:
        """The model makes so many frames a second alone, as it is set now; None: not known."""
        self._shown_rate.model_fps = fps

    def begin_call(self, now_ns: int) -> None:
        """A publisher comes back, or ends a pause: its first frame is awaited."""
        self._shown_rate.pause()
        self._first_frames.begin(now_ns)

    def end_call(self, now_ns: int) -> None:
        """The publisher has left, or pauses: no frame is due any more."""
        self._shown_rate.pause()
        self._first_frames.give_up(now_ns)

    def take_tallies(self, now_ns: int) -> Tallies:
        """What has gone well and badly since the last call, by level."""
        good, bad = self._shown_rate.take(now_ns)
        tallies = {
            ServiceLevel.TTFF: self._first_frames.take(now_ns),
            ServiceLevel.AGE: self._ages,
            ServiceLevel.MISS: self._misses,
            ServiceLevel.RATE: Tally(good=good, bad=bad),
        }
        self._ages, self._misses = Tally(), Tally()
        return tallies

    def observe_chunk(self, first: GeneratedFrame) -> bool:
        """A chunk that begins with `first` has come; returns whether it was missed."""
        stamps, stages = first.stamps, first.stamps.stages
        now_ns = stamps.received_ns
        self.observe_milestone(Milestone.FIRST_GENERATED, now_ns)
        is_missed = (now_ns - first.stands_for_ns) / NS_PER_MS > self._targets.age_ms
        jitter_ms = 0.0
        if self._last_chunk is not None:
            received_ns, stood_for_ns = self._last_chunk
            gap_ns = (now_ns - received_ns) - (first.stands_for_ns - stood_for_ns)
            jitter_ms = abs(gap_ns) / NS_PER_MS
        self._last_chunk = now_ns, first.stands_for_ns
        self._chunks.add(
            now_ns,
            _Chunk(
                is_missed=is_missed,
                jitter_ms=jitter_ms,
                engine_ms=(stamps.generated_ns - stamps.taken_ns) / NS_PER_MS,
                encode_ms=stages.encode_ms,
                denoise_ms=stages.denoise_ms,
                decode_ms=stages.decode_ms,
            ),
        )
        self._misses += _event(is_good=not is_missed)
        return is_missed

    def reset_gaps(self) -> None:
        """The stream was interrupted: no gap and no jitter is counted between before and after."""
        self._last_sent = self._last_chunk = None

    def observe_dropped(self, now_ns: int) -> None:
        """The engine has given up a chunk for its deadline: that is a miss, too."""
        self._dropped_chunks.add(now_ns, None)
        self._misses += _event(is_good=False)

    def observe_client(self, stats: ClientStats, now_ns: int) -> None:
        """The viewer's browser has reported its last second."""
        self._client_stats.add(stats, now_ns)
        self._age_judge.on_told(stats.glass_ms, self._sent_ages(now_ns), now_ns)

    def observe_first_shown(self, shown_ns: int | None, now_ns: int) -> None:
        """The page has reported that the first picture is on the screen.

        Args:
            shown_ns: since when, on our clock as the page estimates it. A time before the picture
                was sent or after the report is taken for `now_ns`.
        """
        sent_ns = self._milestones.get(Milestone.FIRST_SENT, now_ns)
        is_possible = shown_ns is not None and sent_ns <= shown_ns <= now_ns
        self.observe_milestone(
            Milestone.FIRST_SHOWN, shown_ns if shown_ns and is_possible else now_ns
        )

    def observe_sent(self, scheduled: ScheduledFrame, now_ns: int) -> float:
        """A frame was handed to the encoder; returns its age in milliseconds."""
        self.observe_milestone(Milestone.FIRST_SENT, now_ns)
        frame, stamps = scheduled.generated, scheduled.generated.stamps
        age_ms = (now_ns - frame.captured_ns) / NS_PER_MS
        self._shown_rate.on_shown(now_ns)
        self._first_frames.on_sent(now_ns)
        shown_age_ms = age_ms + self._age_judge.beyond_ms(now_ns)
        self._ages += _event(is_good=shown_age_ms <= self._targets.age_ms)
        gap_ms = jitter_ms = 0.0
        if self._last_sent is not None:
            sent_ns, play_ns = self._last_sent
            gap_ms = (now_ns - sent_ns) / NS_PER_MS
            jitter_ms = abs(gap_ms - (scheduled.play_ns - play_ns) / NS_PER_MS)
        self._last_sent = now_ns, scheduled.play_ns
        self._sent.add(
            now_ns,
            _Sent(
                age_ms=age_ms,
                gap_ms=gap_ms,
                jitter_ms=jitter_ms,
                wait_ms=(stamps.taken_ns - frame.captured_ns) / NS_PER_MS,
                playout_ms=(now_ns - stamps.received_ns) / NS_PER_MS,
            ),
        )
        return age_ms

    def report(self, now_ns: int) -> SloReport:
        """The figures of now."""
        for window in (self._inputs, self._chunks, self._dropped_chunks):
            window.trim(now_ns)
        ttff_ms = {
            milestone: (reached_ns - self._offered_ns) / NS_PER_MS
            for milestone, reached_ns in self._milestones.items()
        }
        age = self._sent_ages(now_ns)
        judged = self._age_judge.judged(age, now_ns)
        frame_jitter = percentiles(self._sent.values(lambda sent: sent.jitter_ms))
        chunk_jitter = percentiles(self._chunks.values(lambda chunk: chunk.jitter_ms))
        miss_ratio = self._miss_ratio()
        rate_ratio = self._shown_rate.ratio(now_ns)
        fps_in = self._rate_hz(self._inputs, Milestone.FIRST_INPUT, now_ns)
        return SloReport(
            ttff_ms=ttff_ms,
            ttff_paper_ms=self._paper_ttff_ms(fps_in),
            age_ms=age,
            age_covers=judged.covers if judged else None,
            gap_ms=percentiles(self._sent.values(lambda sent: sent.gap_ms)),
            jitter_frame_ms=frame_jitter.p95 if frame_jitter else None,
            jitter_chunk_ms=chunk_jitter.p95 if chunk_jitter else None,
            fps_in=fps_in,
            since_input_ms=self._since_input_ms(now_ns),
            fps_out=self._rate_hz(self._sent, Milestone.FIRST_SENT, now_ns),
            miss_ratio=miss_ratio,
            rate_ratio=rate_ratio,
            stages_ms=self._stages(),
            viewer=self._client_stats.report(now_ns),
            holds=Holds(
                ttff=self._holds_ttff(ttff_ms, now_ns),
                age=judged.p95_ms <= self._targets.age_ms if judged else None,
                miss=miss_ratio <= self._targets.miss_ratio if miss_ratio is not None else None,
                rate=rate_ratio >= self._targets.rate_ratio if rate_ratio is not None else None,
            ),
        )

    def _sent_ages(self, now_ns: int) -> Percentiles | None:
        self._sent.trim(now_ns)
        return percentiles(self._sent.values(lambda sent: sent.age_ms))

    def _since_input_ms(self, now_ns: int) -> float | None:
        since_ns = self._last_input_ns
        if since_ns is None:
            since_ns = self._milestones.get(Milestone.ICE)
        return None if since_ns is None else (now_ns - since_ns) / NS_PER_MS

    def _miss_ratio(self) -> float | None:
        dropped = len(self._dropped_chunks)
        due = dropped + len(self._chunks)
        missed = sum(self._chunks.values(lambda chunk: chunk.is_missed))
        return (dropped + missed) / due if due else None

    def _rate_hz(self, window: SlidingWindow[Row], since: Milestone, now_ns: int) -> float:
        return window.rate_hz(now_ns, self._milestones.get(since, now_ns))

    def _paper_ttff_ms(self, fps_in: float) -> float | None:
        """As the paper counts it: the time to fill a chunk of four, and one steady chunk in the
        engine."""
        engine = percentiles(self._chunks.values(lambda chunk: chunk.engine_ms))
        return 4 * 1000 / fps_in + engine.p50 if engine and fps_in > 0 else None

    def _holds_ttff(self, ttff_ms: Mapping[Milestone, float], now_ns: int) -> bool | None:
        sent_ms = ttff_ms.get(Milestone.FIRST_SENT)
        if sent_ms is not None:
            return sent_ms <= self._targets.ttff_ms
        waited_ms = (now_ns - self._offered_ns) / NS_PER_MS
        return False if waited_ms > self._targets.ttff_ms else None

    def _stages(self) -> StageShares | None:
        if not len(self._sent) or not len(self._chunks):
            return None
        return StageShares(
            wait=self._sent.mean(lambda sent: sent.wait_ms),
            encode=self._chunks.mean(lambda chunk: chunk.encode_ms),
            denoise=self._chunks.mean(lambda chunk: chunk.denoise_ms),
            decode=self._chunks.mean(lambda chunk: chunk.decode_ms),
            playout=self._sent.mean(lambda sent: sent.playout_ms),
        )


def _event(*, is_good: bool) -> Tally:
    return Tally(good=1) if is_good else Tally(bad=1)
