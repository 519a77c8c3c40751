"""When a stream climbs, for how long a climb is a probe, and what one that fails costs."""

import itertools

import pytest
from slipstream_protocol.levels import Level
from slipstream_server.ladder.moves import MoveCause
from slipstream_server.ladder.promise import Others

from tests.server.ladder.played_device import device, failing_climbs


def test_climbing_takes_longer_than_falling() -> None:
    one = device(codec_ms=80, step_ms=80)
    one.run(30)
    fell_s = one.moves[0][0]
    turned_s = one.at_s
    one.codec_ms = one.step_ms = 40
    one.run(30)
    assert one.moves[1][0] - turned_s > 4 > fell_s


def test_a_climb_that_does_not_hold_is_taken_back_and_the_next_waits_longer() -> None:
    """by half as much again each time, and goes up by one level only."""
    one = failing_climbs(600)
    climbs = [(at_s, move) for at_s, move in one.moves if move.cause is MoveCause.ROOM]
    relapses = [(at_s, move) for at_s, move in one.moves if move.cause is MoveCause.RELAPSE]
    assert climbs[0][1].after == Level(steps=4)
    assert {move.after.spec for _, move in climbs[1:]} == {"3"}
    assert {move.after.spec for _, move in relapses} == {"2"}
    assert "it did not hold" in relapses[0][1].text
    waits_s = [climb[0] - relapse[0] for relapse, climb in zip(relapses, climbs[1:], strict=False)]
    assert waits_s[0] >= 45
    assert all(after > 1.3 * before for before, after in itertools.pairwise(waits_s))
    assert len(one.moves) <= 11, "ten minutes and the fall before them"


def test_a_climb_that_holds_is_forgotten_and_so_are_those_that_failed() -> None:
    """the next trouble is answered as the first one was."""
    one = failing_climbs(120)
    one.codec_ms = one.step_ms = 40
    one.run(400)
    assert one.ladder.level == Level(steps=4)
    one.codec_ms = one.step_ms = 80
    one.run(10)
    one.codec_ms = one.step_ms = 40
    turned_s = one.at_s
    one.run(20)
    assert one.path[-2:] == ["2", "4"]
    assert one.moves[-1][0] - turned_s < 10


@pytest.mark.parametrize(
    "others", [Others(are_in_trouble=True), Others(are_probing=True), Others(need=0.7)]
)
def test_nobody_climbs_at_the_cost_of_others(others: Others) -> None:
    """while one is in trouble, or tries a higher level itself, or needs what there is."""
    one = device(codec_ms=80, step_ms=80)
    one.run(10)
    one.codec_ms = one.step_ms = 40
    one.others = others
    one.run(60)
    assert one.path == ["2"]
    one.others = Others()
    one.run(10)
    assert one.path == ["2", "4"]


def test_climbs_are_bounded_even_where_each_is_welcome() -> None:
    """a device that changes every few seconds does not make the picture change as often."""
    one = device()
    for _ in range(60):
        one.codec_ms = one.step_ms = 160
        one.run(3)
        one.codec_ms = one.step_ms = 40
        one.run(7)
    assert len(one.moves) <= 2 * 11


def test_a_probe_is_over_after_a_while() -> None:
    one = device(codec_ms=80, step_ms=80)
    one.run(10)
    one.codec_ms = one.step_ms = 40
    while len(one.moves) < 2:
        assert not one.ladder.is_probing(one.now_ns)
        one.run(0.01)
    assert one.ladder.is_probing(one.now_ns)
    one.run(5)
    assert not one.ladder.is_probing(one.now_ns)
