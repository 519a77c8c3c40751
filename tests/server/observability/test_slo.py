"""The SLO monitor: each figure is what its definition says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.client_stats import GlassToGlassMs
from slipstream_server.observability.error_budget import ServiceLevel, Tally
from slipstream_server.observability.slo import SloMonitor
from slipstream_server.observability.slo_report import (
    AgeCovers,
    Holds,
    Milestone,
    SloTargets,
    percentiles,
)

from tests.server.observability.test_client_stats import stats
from tests.server.stamped import generated_frame, ms


def scheduled_frame(captured_ms: float, play_ms: float) -> ScheduledFrame:
    return ScheduledFrame(
        generated=generated_frame(captured_ms, received_ms=captured_ms),
        play_ns=ms(play_ms),
        popped_ns=ms(play_ms),
    )


def monitor(**targets: float) -> SloMonitor:
    return SloMonitor(SloTargets(**targets), offered_ns=0)


def test_nothing_seen_is_nothing_claimed() -> None:
    """before the first frame every figure is absent, not zero."""
    report = monitor().report(ms(500))
    assert report.age_ms is None and report.gap_ms is None
    assert report.miss_ratio is None and report.stages_ms is None
    assert report.holds == Holds(ttff=None, age=None, miss=None, rate=None)
    assert report.ttff_ms == {}


def test_ttff_is_counted_from_the_offer_and_once() -> None:
    """each milestone keeps its first time."""
    slo = monitor()
    slo.observe_milestone(Milestone.SIGNAL, ms(12))
    slo.observe_milestone(Milestone.SIGNAL, ms(99))
    slo.observe_sent(scheduled_frame(100, 400), ms(400))
    report = slo.report(ms(500))
    assert report.ttff_ms == {Milestone.SIGNAL: 12, Milestone.FIRST_SENT: 400}
    assert report.holds.ttff is True


def test_a_first_frame_that_never_comes_breaks_the_promise() -> None:
    """waiting longer than the target is a failure already, not an unknown."""
    assert monitor(ttff_ms=1000).report(ms(1001)).holds.ttff is False


@pytest.mark.parametrize(
    ("reported_ms", "shown_ms"), [(430, 430), (None, 450), (390, 450), (999, 450), (0, 450)]
)
def test_first_shown_is_when_the_page_saw_it(reported_ms: float | None, shown_ms: float) -> None:
    """by the page's report where it is possible, else by when the report came."""
    slo = monitor()
    slo.observe_sent(scheduled_frame(100, 400), ms(400))
    slo.observe_first_shown(None if reported_ms is None else ms(reported_ms), ms(450))
    assert slo.report(ms(500)).ttff_ms[Milestone.FIRST_SHOWN] == shown_ms


def test_a_freeze_is_reported_but_is_no_miss() -> None:
    """the browser's counts stand beside the service levels."""
    slo = monitor()
    slo.observe_chunk(generated_frame(0, received_ms=100))
    slo.observe_client(stats(freezes=2), ms(200))
    report = slo.report(ms(300))
    assert report.viewer is not None and report.viewer.freezes == 2
    assert report.miss_ratio == 0


@pytest.mark.parametrize(
    ("told_p95_ms", "report_at_ms", "holds", "covers", "good"),
    [
        (None, 1500, True, AgeCovers.SENT, 4),
        (290.0, 1500, True, AgeCovers.GLASS, 4),
        (310.0, 1500, False, AgeCovers.GLASS, 2),
        (310.0, 4001, True, AgeCovers.SENT, 2),
        (10.0, 1500, True, AgeCovers.GLASS, 4),
    ],
)
def test_the_age_on_the_screen_is_judged_where_the_page_tells_it(
    told_p95_ms: float | None, report_at_ms: float, holds: bool, covers: AgeCovers, good: int
) -> None:
    """verdict and error budget alike; three seconds after its last word the age to sent counts
    again, which no page's word is below."""
    slo = monitor(age_ms=300)
    for at_ms in (0, 40):
        slo.observe_sent(scheduled_frame(at_ms, 250 + at_ms), ms(250 + at_ms))
    glass = None if told_p95_ms is None else GlassToGlassMs(p50=told_p95_ms, p95=told_p95_ms)
    slo.observe_client(stats(glass_ms=glass), ms(1000))
    for at_ms in (800, 840):
        slo.observe_sent(scheduled_frame(at_ms, 250 + at_ms), ms(250 + at_ms))
    report = slo.report(ms(report_at_ms))
    assert (report.holds.age, report.age_covers) == (holds, covers)
    assert slo.take_tallies(ms(report_at_ms))[ServiceLevel.AGE] == Tally(good=good, bad=4 - good)


def test_age_gap_and_jitter() -> None:
    """age is capture to sent; jitter is the send gap against the gap of play times."""
    slo = monitor(age_ms=300)
    for n, late_ms in enumerate([0, 0, 10, 0]):
        slo.observe_sent(scheduled_frame(n * 40, 250 + n * 40), ms(250 + n * 40 + late_ms))
    report = slo.report(ms(400))
    assert report.age_ms is not None and report.gap_ms is not None
    assert (report.age_ms.p50, report.age_ms.p99) == (250, 260)
    assert report.gap_ms.p99 == 50
    assert report.jitter_frame_ms == 10
    assert report.holds.age is True


def test_a_break_is_neither_gap_nor_jitter() -> None:
    """after an interruption the first frame and the first chunk count as the very first do."""
    slo = monitor(age_ms=300)
    for start_ms in (0, 5000):
        for n in range(3):
            at_ms = start_ms + 40 * n
            slo.observe_chunk(generated_frame(at_ms, received_ms=at_ms + 100 + start_ms / 100))
            slo.observe_sent(scheduled_frame(at_ms, at_ms + 250), ms(at_ms + 250 + start_ms / 100))
        slo.reset_gaps()
    report = slo.report(ms(5400))
    assert report.gap_ms is not None
    assert report.gap_ms.p99 == 40
    assert report.jitter_frame_ms == report.jitter_chunk_ms == 0


def test_a_late_chunk_is_a_miss() -> None:
    """the deadline is the age target, counted from the capture of the oldest frame."""
    slo = monitor(age_ms=300, miss_ratio=0.25)
    missed = [
        slo.observe_chunk(generated_frame(n * 100, received_ms=n * 100 + age_ms, chunk=n))
        for n, age_ms in enumerate([200, 300, 301, 900])
    ]
    report = slo.report(ms(1300))
    assert missed == [False, False, True, True]
    assert report.miss_ratio == 0.5
    assert report.holds.miss is False
    assert report.jitter_chunk_ms == 599


def test_a_chunk_given_up_is_a_miss() -> None:
    """dropping what is late does not make the figures better: it was due, and it did not come."""
    slo = monitor(age_ms=300, miss_ratio=0.25)
    for n in range(3):
        slo.observe_chunk(generated_frame(n * 100, received_ms=n * 100 + 200, chunk=n))
    slo.observe_dropped(ms(450))
    assert slo.report(ms(500)).miss_ratio == 0.25
    slo.observe_dropped(ms(550))
    report = slo.report(ms(600))
    assert report.miss_ratio == 0.4
    assert report.holds.miss is False
    assert slo.report(ms(450 + 10_001)).miss_ratio is not None
    assert slo.report(ms(550 + 10_001)).miss_ratio is None


def test_the_window_forgets() -> None:
    """a stall an hour ago is not in the figures, a stall just now is."""
    slo = monitor(age_ms=300)
    slo.observe_sent(scheduled_frame(0, 5000), ms(5000))
    for n in range(600):
        slo.observe_sent(scheduled_frame(6000 + n * 33, 6200 + n * 33), ms(6200 + n * 33))
    report = slo.report(ms(6200 + 600 * 33))
    assert report.age_ms is not None
    assert report.age_ms.p99 == 200
    assert report.fps_out == pytest.approx(30.3, abs=0.2)


def test_the_papers_ttff_beside_ours() -> None:
    """four frames at the camera's rate and one steady chunk in the engine."""
    slo = monitor()
    for n in range(50):
        slo.observe_input(ms(n * 40))
    slo.observe_chunk(generated_frame(0, received_ms=80))
    assert slo.report(ms(49 * 40)).ttff_paper_ms == pytest.approx(4 * 40 + 80, rel=0.03)


def test_where_the_time_goes() -> None:
    """the engine's stages as it reports them, and the wait to be played."""
    slo = monitor()
    slo.observe_chunk(generated_frame(0, received_ms=100))
    played = ScheduledFrame(
        generated=generated_frame(0, received_ms=100), play_ns=ms(130), popped_ns=ms(130)
    )
    slo.observe_sent(played, ms(130))
    stages = slo.report(ms(200)).stages_ms
    assert stages is not None
    assert (stages.encode, stages.denoise, stages.decode, stages.playout) == (1, 2, 3, 30)


def test_a_server_that_skips_three_frames_of_four_does_not_hold() -> None:
    """though those it shows are young and in time, as with four callers on an engine for one."""
    slo = monitor()
    for n in range(600):
        at_ms = n * 1000 / 30
        slo.observe_input(ms(at_ms))
        if n % 4 == 3:
            slo.observe_sent(scheduled_frame(at_ms - 200, at_ms), ms(at_ms))
    report = slo.report(ms(20_000))
    assert report.rate_ratio is not None and 0.2 < report.rate_ratio < 0.35
    assert (report.holds.age, report.holds.rate) == (True, False)


def test_each_level_counts_what_is_good_and_bad() -> None:
    """events since they were taken, of every level; what was taken is not counted again."""
    slo = monitor(ttff_ms=1000, age_ms=300)
    slo.observe_chunk(generated_frame(0, received_ms=200))
    slo.observe_chunk(generated_frame(100, received_ms=900, chunk=1))
    slo.observe_dropped(ms(950))
    slo.observe_sent(scheduled_frame(0, 250), ms(250))
    slo.observe_sent(scheduled_frame(100, 990), ms(990))
    taken = slo.take_tallies(ms(1000))
    assert taken[ServiceLevel.TTFF] == Tally(good=1)
    assert taken[ServiceLevel.AGE] == Tally(good=1, bad=1)
    assert taken[ServiceLevel.MISS] == Tally(good=1, bad=2)
    assert not any(tally.total for tally in slo.take_tallies(ms(1001)).values())


def test_a_call_that_comes_back_has_a_first_frame_too() -> None:
    """late or never is bad, once; one that leaves before it is due is not counted."""
    slo = monitor(ttff_ms=1000)
    slo.observe_sent(scheduled_frame(0, 250), ms(250))
    slo.end_call(ms(5000))
    slo.begin_call(ms(9000))
    assert slo.take_tallies(ms(10_000))[ServiceLevel.TTFF] == Tally(good=1)
    assert slo.take_tallies(ms(10_001))[ServiceLevel.TTFF] == Tally(bad=1)
    slo.observe_sent(scheduled_frame(0, 12_000), ms(12_000))
    slo.begin_call(ms(20_000))
    slo.end_call(ms(20_500))
    assert slo.take_tallies(ms(30_000))[ServiceLevel.TTFF] == Tally()


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ({"age_ms": 0.0}, "age_ms is 0.0"),
        ({"miss_ratio": 2.0}, "miss_ratio is 2.0"),
        ({"rate_ratio": -0.1}, "rate_ratio is -0.1"),
        ({"in_time_ratio": 1.1}, "in_time_ratio is 1.1"),
    ],
)
def test_impossible_targets_are_refused(targets: dict[str, float], reason: str) -> None:
    """targets that cannot be met are refused."""
    with pytest.raises(ValueError, match=reason):
        SloTargets(**targets)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_values_that_were_seen(values: list[float]) -> None:
    """nearest rank: no percentile is invented between two values, and they rise."""
    found = percentiles(values)
    assert found is not None
    assert {found.p50, found.p95, found.p99} <= set(values)
    assert found.p50 <= found.p95 <= found.p99 <= max(values)
    assert sum(value <= found.p95 for value in values) >= 0.95 * len(values)


@given(st.lists(st.integers(0, 60 * NS_PER_S), max_size=300))
def test_memory_is_the_window(times_ns: list[int]) -> None:
    """reports do not cost more the longer a stream runs."""
    slo = monitor()
    for now_ns in sorted(times_ns):
        slo.observe_input(now_ns)
        slo.report(now_ns)
        assert slo.report(now_ns).fps_in >= 0


def test_a_repeated_frame_is_no_miss() -> None:
    """the camera sends nothing, so nothing is late; the way through the engine counts all the
    same."""
    slo = monitor(age_ms=300)
    slo.observe_chunk(generated_frame(0, received_ms=100))
    slo.observe_chunk(generated_frame(0, repeated_after_ms=2000, received_ms=2100))
    report = slo.report(ms(2200))
    assert report.miss_ratio == 0 and report.jitter_chunk_ms == 0
    assert slo.observe_chunk(generated_frame(0, repeated_after_ms=4000, received_ms=4301))


def test_a_silent_camera_is_told_from_its_last_frame_on() -> None:
    """or, before the first, from when there was a way for it."""
    slo = monitor()
    assert slo.report(ms(50)).since_input_ms is None
    slo.observe_milestone(Milestone.ICE, ms(100))
    assert slo.report(ms(3100)).since_input_ms == 3000
    slo.observe_input(ms(3200))
    assert slo.report(ms(3300)).since_input_ms == 100
