"""offline/frame_times.py: every frame is later than the one before it, where a file says it."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.offline.frame_times import Clock, FilmTimes, TrackClock

MS = Fraction(1, 1000)


def times(
    *, by_order: bool = False, step: Fraction = Fraction(40), clock: Clock | None = None
) -> FilmTimes:
    return FilmTimes(TrackClock(clock or Clock(), MS), step_units=step, by_order=by_order)


def test_the_times_of_a_file_are_kept() -> None:
    """However uneven; a frame that comes too late is told."""
    frames = times()
    assert [frames.frame(t) for t in (37, 40, 900, 899, 900, 901)] == [37, 40, 900, None, None, 901]


def test_no_times_at_all() -> None:
    """A bare stream goes by its rate without a drift, from 0 or the last time that is known."""
    frames = times(step=Fraction(1000, 30))
    made = [frames.frame(None) for _ in range(301)]
    assert made[0] == 0 and made[300] == 10_000
    frames = times()
    assert [frames.frame(t) for t in (100, None, None, 220, None)] == [100, 140, 180, 220, 260]


@given(st.permutations(range(12)))
def test_the_order_of_decoding(order: list[int]) -> None:
    """Where only that is stored, the nth frame has the nth time, lost ones apart."""
    frames = times(by_order=True)
    for decode_time in range(12):
        frames.packet(10 * decode_time)
    frames.lost(50)
    made = [frames.frame(10 * number) for number in order[:11]]
    assert made == [10 * n for n in range(12) if n != 5]
    assert frames.frame(0) == 110 + 40


def test_a_clock_that_is_set_back() -> None:
    """Pictures and sound follow the same jump, whichever meets it first; the film goes on."""
    clock = Clock(begin_s=Fraction(90))
    frames, sound = times(clock=clock), TrackClock(clock, Fraction(1, 48_000))
    assert [frames.frame(t) for t in (90_000, 90_040)] == [0, 40]
    assert sound.place(90 * 48_000, step=1024) == 0
    assert sound.place(7 * 48_000, step=1024) == 1024
    assert frames.frame(90_080) == 80  # still of the first part
    joined = frames.frame(7_000 + 80)
    assert joined == round(1024 / 48) + 80
    assert sound.place(7 * 48_000 + 1024, step=1024) == 2048


def test_a_jump_ahead_is_a_gap() -> None:
    """Missing time stays missing, except where a clock may begin anew."""
    frames = times()
    assert [frames.frame(t) for t in (0, 40, 60_000)] == [0, 40, 60_000]
    frames = times(clock=Clock(may_leap=True))
    assert [frames.frame(t) for t in (0, 40, 9_000, 60_000)] == [0, 40, 9_000, 9_040]
