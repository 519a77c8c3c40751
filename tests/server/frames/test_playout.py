"""The playout, under a scripted clock: bounded age, bounded wait, true motion."""

import itertools
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS
from slipstream_server.frames.playout import Playout, ScheduledFrame

from tests.server.stamped import generated_frame, ms

FRAME_MS = 1000 / 30
CHUNK_MS = 4 * FRAME_MS


def chunk_at(start_ms: float, number: int = 0) -> list[float]:
    return [start_ms + n * FRAME_MS for n in range(4)]


def drive(
    service_ms: Callable[[int], float], chunks: int
) -> tuple[Playout, list[tuple[float, ScheduledFrame]]]:
    """Run a camera at 30 fps and an engine that takes `service_ms(chunk)`, one chunk at a time.

    Returns the playout and what was played when, in ms. The engine takes a new chunk of the newest
    frames when it is free, as the chunker would give it.
    """
    playout = Playout(chunk_frames=4)
    played: list[tuple[float, ScheduledFrame]] = []
    free_ms = 0.0
    captured_ms = 0.0
    arrivals = []
    for number in range(chunks):
        start_ms = max(free_ms, captured_ms + CHUNK_MS)
        captured_ms = start_ms - CHUNK_MS
        free_ms = start_ms + service_ms(number)
        arrivals.append(
            (free_ms, [generated_frame(at, chunk=number) for at in chunk_at(captured_ms)])
        )
        captured_ms = start_ms
    now_ms = 0.0
    for arrival_ms, frames in arrivals:
        while now_ms < arrival_ms:
            if (frame := playout.pop(ms(now_ms))) is not None:
                played.append((now_ms, frame))
            now_ms += 1.0
        playout.push(frames, ms(arrival_ms))
    while (frame := playout.pop(ms(now_ms))) is not None or playout.due_ns() is not None:
        if frame is not None:
            played.append((now_ms, frame))
        now_ms += 1.0
    return playout, played


def drained(playout: Playout) -> list[ScheduledFrame]:
    """The frames that wait, each released when it is due."""
    frames = []
    while (due_ns := playout.due_ns()) is not None:
        if (frame := playout.pop(due_ns)) is not None:
            frames.append(frame)
    return frames


def ages_ms(played: list[tuple[float, ScheduledFrame]]) -> list[float]:
    return [now_ms - frame.generated.captured_ns / NS_PER_MS for now_ms, frame in played]


def test_a_burst_is_spread_over_the_time_it_was_captured_in() -> None:
    """four frames that come at once are played a thirtieth apart, as they were taken."""
    _, played = drive(lambda _: 50.0, chunks=40)
    steady = [now_ms for now_ms, _ in played[80:]]
    gaps = [b - a for a, b in itertools.pairwise(steady)]
    assert all(abs(gap - FRAME_MS) <= 1.01 for gap in gaps)
    assert len(played) == 160


def test_bursts_that_come_unevenly_are_played_evenly() -> None:
    """chunks of four at 24 fps, 12 ms of jitter, ten minutes: intervals within 15 ms of each other
    (standard deviation), a frame no more than 125 ms from the engine to the screen (the middle)."""
    dice = random.Random(0)
    playout = Playout(chunk_frames=4)
    frame_ms = 1000 / 24
    waits_ms: list[float] = []
    played_ms: list[float] = []
    arrived_ms: dict[int, float] = {}
    arrivals = []
    for number in range(3600):
        captured_ms = [(4 * number + n) * frame_ms for n in range(4)]
        arrived_ms[number] = captured_ms[-1] + 80 + dice.gauss(0, 12)
        arrivals.append(
            (arrived_ms[number], [generated_frame(at, chunk=number) for at in captured_ms])
        )
    for now_ms in range(round(arrivals[-1][0])):
        if arrivals[0][0] <= now_ms:
            playout.push(arrivals.pop(0)[1], ms(now_ms))
        if (frame := playout.pop(ms(now_ms))) is not None:
            played_ms.append(now_ms)
            waits_ms.append(now_ms - arrived_ms[frame.generated.chunk])
    gaps_ms = [after - before for before, after in itertools.pairwise(played_ms)]
    assert statistics.stdev(gaps_ms) <= 15
    assert statistics.median(waits_ms) <= 125
    assert len(played_ms) > 0.98 * 4 * 3600


def test_ten_minutes_do_not_age() -> None:
    """250 ms a chunk, 30 fps in: at the end as young as at the beginning, and within 0.6 s."""
    dice = random.Random(0)
    _, played = drive(lambda number: dice.gauss(250, 12), chunks=2400)
    ages = ages_ms(played)
    first, last = ages[40:400], ages[-360:]
    assert statistics.mean(last) == pytest.approx(statistics.mean(first), abs=25)
    assert sorted(ages)[len(ages) * 95 // 100] <= 600


def test_age_does_not_creep() -> None:
    """with an engine slower than the camera, the age at the end is the age at the start."""
    _, played = drive(lambda _: 250.0, chunks=2400)
    ages = ages_ms(played)
    assert max(ages[-400:]) <= max(ages[40:440]) + 1.01
    assert max(ages) < 400  # 133 spread + 250 in the engine + the clock's steps


def test_one_stall_is_forgotten() -> None:
    """a cold chunk or a stall raises the delay for a while only."""
    _, before = drive(lambda _: 100.0, chunks=300)
    _, after = drive(lambda n: 2000.0 if n == 100 else 100.0, chunks=300)
    assert max(ages_ms(after)[-200:]) <= max(ages_ms(before)[-200:]) + 10


def test_a_slow_start_is_forgotten() -> None:
    """the first chunk's extra time is not carried along."""
    _, played = drive(lambda n: 1500.0 if n == 0 else 100.0, chunks=200)
    assert max(ages_ms(played)[-200:]) < 100 + CHUNK_MS + 20


def test_an_early_chunk_does_not_push_out_a_whole_one_that_waits() -> None:
    """one waiting chunk is played before the next; only what is beyond it is dropped."""
    playout = Playout(chunk_frames=4)
    playout.push([generated_frame(at) for at in chunk_at(0)], ms(500))
    assert playout.pop(ms(502)) is not None
    for start_ms in (CHUNK_MS, 2 * CHUNK_MS, 3 * CHUNK_MS):
        playout.push([generated_frame(at) for at in chunk_at(start_ms)], ms(503))
    assert playout.drops["overrun"] == 7
    assert playout.due_ns() == ms(505)
    assert len(drained(playout)) == 8


def test_asked_late_the_newest_due_frame_is_given() -> None:
    """when the loop itself was held up, it does not play catch-up."""
    playout = Playout(chunk_frames=4)
    playout.push([generated_frame(at) for at in chunk_at(0)], ms(200))
    scheduled = playout.pop(ms(200 + 2 + 2.5 * FRAME_MS))
    assert scheduled is not None
    assert scheduled.generated.captured_ns == ms(2 * FRAME_MS)
    assert playout.drops["overdue"] == 2


def test_a_frame_from_the_past_is_never_played() -> None:
    """chunks that come out of order do not turn time back."""
    playout = Playout(chunk_frames=4)
    playout.push([generated_frame(at) for at in chunk_at(1000)], ms(1500))
    playout.push([generated_frame(at) for at in chunk_at(0)], ms(1501))
    assert playout.drops["disordered"] == 4
    assert [frame.generated.captured_ns for frame in drained(playout)] == [
        ms(at) for at in chunk_at(1000)
    ]


def test_a_chunk_holds_a_frame() -> None:
    """the error names the value and the rule."""
    with pytest.raises(ValueError, match="chunk_frames is 0, it must be at least 1"):
        Playout(chunk_frames=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1, 1200), min_size=1, max_size=60))
def test_under_any_engine_the_bounds_hold(times_ms: list[float]) -> None:
    """whatever the engine does: frames in order, play times strictly rising, nothing played before
    it is due, at most two chunks inside, every frame played or counted."""
    playout, played = drive(lambda n: times_ms[n], chunks=len(times_ms))
    captured = [frame.generated.captured_ns for _, frame in played]
    assert captured == sorted(set(captured))
    plays = [frame.play_ns for _, frame in played]
    assert all(b > a for a, b in itertools.pairwise(plays))
    assert all(age <= max(times_ms) * 2 + 2 * CHUNK_MS + 10 for age in ages_ms(played))
    assert len(played) + sum(playout.drops.values()) == 4 * len(times_ms)


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 400)), max_size=80))
def test_never_more_than_two_chunks_wait(events: list[tuple[float, float]]) -> None:
    """the queue is bounded however chunks and questions come."""
    playout = Playout(chunk_frames=4)
    now_ms = start_ms = 0.0
    for number, (wait_ms, gap_ms) in enumerate(events):
        now_ms += wait_ms
        start_ms += CHUNK_MS + gap_ms
        now_ms = max(now_ms, start_ms)
        playout.push([generated_frame(at, chunk=number) for at in chunk_at(start_ms)], ms(now_ms))
        assert 4 * (number + 1) - sum(playout.drops.values()) <= 8


def test_one_late_chunk_is_forgiven_a_second_is_not() -> None:
    """after a lone stall the delay is back within a second; an engine that is late now and then
    keeps the delay it needs, so that its chunks are not late each time."""
    _, lone = drive(lambda n: 300.0 if n == 50 else 100.0, chunks=80)
    recovered = [age for now_ms, age in zip_ages(lone) if now_ms > (50 + 4 + 12) * CHUNK_MS]
    assert max(recovered) < 100 + CHUNK_MS + 25
    _, regular = drive(lambda n: 220.0 if n % 6 == 5 else 100.0, chunks=200)
    ages = [age for now_ms, age in zip_ages(regular) if now_ms > 60 * CHUNK_MS]
    assert max(ages) - min(ages) < 15


def zip_ages(played: list[tuple[float, ScheduledFrame]]) -> list[tuple[float, float]]:
    return [(now_ms, age) for (now_ms, _), age in zip(played, ages_ms(played), strict=True)]


def test_a_thin_link_gets_evenly_spaced_frames() -> None:
    """one in `every_frames` is played, at its own time; the others are counted."""
    playout = Playout(chunk_frames=12)
    playout.every_frames = 3
    playout.push([generated_frame(at) for at in range(1000, 1012)], ms(1000))
    played = [frame for at in range(1000, 1030) if (frame := playout.pop(ms(at))) is not None]
    times = [frame.generated.captured_ns // NS_PER_MS for frame in played]
    assert times == [1002, 1005, 1008, 1011]
    assert playout.drops["thinned"] == 8


def test_a_repeated_frame_is_played_when_it_stands_for() -> None:
    """its capture is long past; it waits no longer than a new one would, in its order."""
    playout = Playout(chunk_frames=4)
    playout.push([generated_frame(1000)], ms(1100))
    playout.push([generated_frame(1000, repeated_after_ms=2000)], ms(3090))
    playout.push([generated_frame(5050)], ms(5140))
    played = drained(playout)
    assert [frame.generated.captured_ns for frame in played] == [
        ms(at) for at in (1000, 1000, 5050)
    ]
    assert [frame.play_ns for frame in played] == [ms(at) for at in (1102, 3102, 5152)]
    assert sum(playout.drops.values()) == 0


def test_a_new_frame_is_never_out_of_order_behind_a_repeated_one() -> None:
    """one that was delayed on its way was captured before the moment that the other stands for."""
    playout = Playout(chunk_frames=4)
    playout.push([generated_frame(1000)], ms(1100))
    playout.push([generated_frame(1000, repeated_after_ms=2000)], ms(3090))
    assert [frame.play_ns for frame in drained(playout)] == [ms(1102), ms(3102)]
    playout.push([generated_frame(2990)], ms(3095))
    (late,) = drained(playout)
    assert late.generated.captured_ns == ms(2990) and late.play_ns > ms(3102)
    assert sum(playout.drops.values()) == 0
