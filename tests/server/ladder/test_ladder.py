"""One stream's ladder: when it moves, where to, and how often."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.levels import Level, parse_level
from slipstream_server.ladder.promise import Others

from tests.server.ladder.played_device import device, failing_climbs
from tests.server.ladder.readings import reading


def test_a_stream_that_keeps_its_promise_stays() -> None:
    one = device()
    one.run(60)
    assert one.moves == []
    assert one.ladder.level == Level(steps=4)
    assert not one.ladder.is_in_trouble(one.now_ns)
    one.link_ms = 550
    one.run(0.3)
    assert one.ladder.is_in_trouble(one.now_ns)


def test_it_falls_to_the_best_level_that_keeps_the_promise_and_climbs_back_at_once() -> None:
    """one move down and one up, whatever lies between; the reasons are told in words."""
    one = device(codec_ms=80, step_ms=80)
    one.run(10)
    assert one.path == ["2"]
    assert one.moves[0][0] < 3
    one.codec_ms = one.step_ms = 40
    one.run(10)
    assert one.path == ["2", "4"]
    down, up = (move.text for _, move in one.moves)
    assert down == "4 steps -> 2 steps: only 10 pictures a second were made of 30"
    assert up == "2 steps -> 4 steps: pictures are 0.2 s old, there is room for more"


def test_pictures_that_get_too_old_are_a_reason_too() -> None:
    one = device(link_ms=550)
    one.run(10)
    assert one.moves[0][1].text.endswith(": pictures were 0.9 s old")


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_few_late_chunks_move_nothing(chunks: int) -> None:
    """the picture would be coarser for no reason."""
    one = device()
    one.run(5)
    one.beside_ms = 150
    one.run(0.3 * chunks)
    one.beside_ms = 0
    one.run(20)
    assert one.moves == []


def test_a_broken_promise_is_believed_sooner_than_one_near_breaking() -> None:
    broken, near = device(beside_ms=600), device(link_ms=550)
    broken.run(10)
    near.run(10)
    assert broken.moves[0][0] <= 2 * 0.801
    assert near.moves[0][0] > 0.6


def test_one_chunk_is_enough_where_it_takes_twice_the_time_promised() -> None:
    """one more would be lost for certain; steps of a viewer's own are not taken for one."""
    one, own = device(), device(is_own=True)
    for each in (one, own):
        each.run(5)
        each.codec_ms = each.step_ms = 120  # 600 ms for a chunk that is owed in 278
        each.run(0.1)
    assert one.path == ["1"]
    assert own.moves == []
    own.run(2)
    assert own.path == ["1"]


def test_a_device_that_stood_still_for_a_moment_costs_no_level_for_long() -> None:
    """a fall for one chunk is taken back by the next two that show the device as fast as before,
    whatever climbs have failed; a device that stays slow is believed."""
    one = device()
    one.run(5)
    one.codec_ms = one.step_ms = 120
    one.run(0.1)
    one.codec_ms = one.step_ms = 40
    stood_s = one.at_s
    one.run(20)
    (_, fall), (back_s, back) = one.moves
    assert (fall.after.spec, back.after.spec) == ("1", "4")
    assert back.text == "1 step -> 4 steps: the device was disturbed for a moment only"
    assert back_s - stood_s < 1

    slow = device()
    slow.run(5)
    slow.codec_ms = slow.step_ms = 120
    slow.run(20)
    assert slow.path == ["1"]


def test_hasty_falls_that_are_taken_back_have_a_bound() -> None:
    """a device that stands still every few seconds does not make the picture change as often."""
    one = device()
    for _ in range(20):
        one.codec_ms = one.step_ms = 40
        one.run(3)
        one.codec_ms = one.step_ms = 120
        one.run(0.1)
    assert sum(not move.is_down for _, move in one.moves) <= 3


def test_nothing_is_given_up_where_that_would_not_help() -> None:
    """a link that is slow, a camera that is slow: fewer steps make a picture hardly younger."""
    one = device(step_ms=2, codec_ms=5, link_ms=2000)
    one.run(30)
    assert one.moves == []
    assert one.ladder.is_stuck


def test_the_floor_is_the_end() -> None:
    one = device(codec_ms=400, step_ms=400, floor="2")
    one.run(60)
    assert one.path[-1] == "2"
    assert one.ladder.lowest == Level(steps=2)


def test_a_floor_above_the_viewers_own_choice_raises_nothing() -> None:
    one = device(steps=1, floor="2", codec_ms=600)
    one.run(30)
    assert (one.moves, one.ladder.level) == ([], Level(steps=1))


def test_where_no_level_keeps_the_promise_the_nearest_is_taken() -> None:
    one = device(codec_ms=700, step_ms=300)
    one.run(20)
    assert one.ladder.level == Level(steps=1, fps=8)


# ---- several streams


def test_the_heaviest_goes_down_first_and_the_others_wait_for_what_it_brings() -> None:
    """unless the promise is broken already."""
    for others in (Others(heaviest=0.9), Others(are_settling=True)):
        near = device(step_ms=30, beside_ms=140)
        near.others = others
        near.run(10)
        assert near.moves == []
        near.others = Others()
        near.run(5)
        assert near.path
        broken = device(codec_ms=300, step_ms=300)
        broken.others = others
        broken.run(10)
        assert broken.moves


def test_where_others_go_down_too_each_goes_down_less() -> None:
    alone, together = device(beside_ms=120), device(beside_ms=120)
    together.others = Others(are_in_trouble=True)
    alone.run(2)
    together.run(2)
    assert together.moves[0][1].after.costs_more_than(alone.moves[0][1].after)


def test_a_held_stream_comes_back_at_its_lowest_level() -> None:
    one = device(floor="1@12")
    held = one.ladder.hold()
    assert held.text == "4 steps -> held: the device is full, and older streams come first"
    assert held.is_down
    assert one.ladder.level.is_held
    one.run(5)
    one.ladder.choose(2, is_own=True)
    assert (one.moves, one.ladder.level.is_held) == ([], True)
    back = one.ladder.release()
    assert back.text == "held -> 1 step at 12 fps: there is room on the device again"
    assert not back.is_down


# ---- whatever comes


dials = st.fixed_dictionaries(
    {
        "codec_ms": st.floats(0, 2000),
        "step_ms": st.floats(0, 1000),
        "beside_ms": st.floats(0, 1000),
        "camera_fps": st.floats(0.5, 120),
        "link_ms": st.floats(0, 3000),
    }
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(dials, st.floats(0.1, 20)), max_size=12),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(["", "3", "1", "1@12"]),
)
def test_levels_stay_between_top_and_floor_and_changes_have_a_bound(
    phases: list[tuple[dict[str, float], float]], steps: int, is_own: bool, floor: str
) -> None:
    """whatever the device does: no level above the viewer's own or below the floor, each move goes
    from the level before it, and any minute has few of them."""
    one = device(steps=steps, is_own=is_own, floor=floor)
    levels = [one.ladder.top]
    for turned, seconds in phases:
        for name, value in turned.items():
            setattr(one, name, value)
        one.run(seconds)
    for _, move in one.moves:
        assert move.before == levels[-1]
        assert move.before != move.after
        assert move.after.steps <= steps
        assert not floor or not parse_level(floor).costs_more_than(move.after)
        levels.append(move.after)
    ups_s = [at_s for at_s, move in one.moves if not move.is_down]
    for at_s in ups_s:
        assert sum(at_s - 60 < other <= at_s for other in ups_s) <= 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(10**11), 10**11), max_size=30))
def test_a_clock_that_jumps_moves_nothing_by_itself(jumps_ns: list[int]) -> None:
    """neither forth nor back: it takes signs, and there are none."""
    one = device()
    for jump_ns in jumps_ns:
        one.now_ns += jump_ns
        one.run(0.01)
    assert one.moves == []


def test_a_clock_that_goes_back_keeps_nobody_waiting_for_ever() -> None:
    one = failing_climbs(60)
    one.now_ns -= 10**6 * NS_PER_S
    one.codec_ms = one.step_ms = 40
    one.run(30)
    assert one.ladder.level.steps > 2


def test_a_chunk_that_was_begun_before_a_fall_says_nothing() -> None:
    one = device(codec_ms=300, step_ms=300)
    one.run(5)
    before = one.ladder.level
    late = reading(Level(steps=4), codec_ms=900, step_ms=900)
    for _ in range(10):
        one.now_ns += 500 * NS_PER_MS
        assert one.ladder.observe(late, Others(), one.now_ns) is None
    assert one.ladder.level == before
