"""A viewer's own steps on the ladder: asked before they go, and followed when they choose anew."""

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.levels import Level
from slipstream_server.ladder.ladder import ANSWER_WITHIN_NS
from slipstream_server.ladder.promise import Others

from tests.server.ladder.played_device import device


def test_a_viewer_is_asked_before_their_own_steps_are_taken() -> None:
    """once; without an answer they are taken after a while."""
    one = device(is_own=True, codec_ms=70, step_ms=60)
    one.run(4)
    assert [question.move.after.spec for question in one.questions] == ["3"]
    assert one.moves == []
    one.run(ANSWER_WITHIN_NS / NS_PER_S)
    assert one.path == ["3"]
    assert len(one.questions) == 1


def test_a_viewer_who_agrees_gets_fewer_steps_at_once() -> None:
    one = device(is_own=True, codec_ms=70, step_ms=60)
    one.run(4)
    one.ladder.answer(keep=False)
    one.run(0.5)
    assert one.path == ["3"]


def test_a_viewer_who_refuses_keeps_them_until_the_promise_breaks() -> None:
    one = device(is_own=True, codec_ms=70, step_ms=60)
    one.run(4)
    assert one.ladder.can_fall
    one.ladder.answer(keep=True)
    one.run(120)
    assert one.moves == []
    assert not one.ladder.can_fall
    one.codec_ms = one.step_ms = 300
    one.run(5)
    assert one.moves


def test_nobody_is_asked_when_the_alternative_is_a_miss() -> None:
    one = device(is_own=True, codec_ms=300, step_ms=300)
    one.run(5)
    assert one.questions == []
    assert one.moves


def test_a_question_is_over_when_the_trouble_is() -> None:
    """an answer that comes then changes nothing, and the next trouble is asked about anew."""
    one = device(is_own=True, codec_ms=70, step_ms=60)
    one.run(4)
    one.codec_ms = one.step_ms = 40
    one.run(30)
    one.ladder.answer(keep=False)
    one.codec_ms, one.step_ms = 70, 60
    one.run(4)
    assert len(one.questions) == 2
    assert one.moves == []


def test_a_rate_that_falls_is_not_asked_about() -> None:
    """the steps stay as they are chosen. It falls for the sake of others, or of age: for a stream
    alone a lower one brings no more pictures."""
    one = device(steps=1, is_own=True, codec_ms=300, step_ms=10)
    one.run(10)
    assert (one.questions, one.moves) == ([], [])
    one.others = Others(are_in_trouble=True)
    one.run(5)
    assert one.questions == []
    assert one.path == ["1@12"]


def test_nobody_wins_by_choosing_anew() -> None:
    """a viewer who flips the steps ten times a second goes down like any other, and stays."""
    one = device(is_own=True, codec_ms=300, step_ms=300)
    for _ in range(300):
        one.ladder.choose(4, is_own=True)
        one.run(0.05)
        one.ladder.choose(3, is_own=True)
        one.run(0.05)
    assert one.ladder.level.costs_more_than(Level())
    assert Level(steps=1).costs_more_than(one.ladder.level)
    assert len(one.moves) < 12


def test_a_choice_at_the_top_is_followed_at_once() -> None:
    one = device(steps=1)
    one.ladder.choose(4, is_own=True)
    assert one.ladder.level == one.ladder.top == Level(steps=4)
    one.ladder.choose(2, is_own=True)
    assert one.ladder.level == Level(steps=2)


def test_a_choice_below_the_level_is_followed_where_it_has_fallen() -> None:
    one = device(codec_ms=70, step_ms=60)
    one.run(5)
    assert one.ladder.level == Level(steps=3)
    one.ladder.choose(2, is_own=True)
    assert one.ladder.level == Level(steps=2)
