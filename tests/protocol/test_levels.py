"""The levels of quality as data: how they are written, and what is refused."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.levels import (
    DEFAULT_LEVELS,
    MAX_LEVELS,
    Level,
    Levels,
    parse_level,
    parse_levels,
)

levels = st.builds(
    Level,
    steps=st.integers(1, 4),
    fps=st.sampled_from([0.0, 8.0, 12.5, 15.0, 29.97, 120.0]),
)


@given(st.lists(levels, min_size=1, max_size=6), st.booleans())
def test_levels_that_fall_are_read_as_they_are_written(
    running: list[Level], can_hold: bool
) -> None:
    """and any others are refused, by the same rule for data and for text."""
    text = ",".join([*(level.spec for level in running), *(["held"] if can_hold else [])])
    falls = all(a.costs_more_than(b) for a, b in itertools.pairwise(running))
    if falls:
        parsed = parse_levels(text)
        assert parsed == Levels(running=tuple(running), can_hold=can_hold)
        assert parsed.spec == text
    else:
        with pytest.raises(ValueError, match="each level must cost less than the one before it"):
            parse_levels(text)


@given(levels, levels, levels)
def test_cost_is_an_order(a: Level, b: Level, c: Level) -> None:
    """no level costs more than itself, or than one that costs more; a held one costs nothing."""
    assert not a.costs_more_than(a)
    assert not (a.costs_more_than(b) and b.costs_more_than(a))
    if a.costs_more_than(b) and b.costs_more_than(c):
        assert a.costs_more_than(c)
    assert a.costs_more_than(Level())
    assert not Level().costs_more_than(a)
    assert not Level().costs_more_than(Level())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "ladder has 0 levels, it must have 1 to 32, as 2,1,1@15,held"),
        ("held", "ladder has 0 levels"),
        ("2,held,1", "level 'held' is not STEPS[@FPS][/SIZE]"),
        ("2,,1", "level '' is not STEPS[@FPS][/SIZE]"),
        ("1,2", "ladder has 2 after 1, each level must cost less than the one before it"),
        ("1,1", "ladder has 1 after 1"),
        ("2@10,1", "ladder has 1 after 2@10"),
        ("0", "level '0' is not STEPS[@FPS][/SIZE]"),
        ("5", "level has 5 steps, it may have 1 to 4"),
        ("1/192,1@12", "ladder has 1@12 after 1/192, each level must cost less"),
        ("1/192,1/256", "ladder has 1/256 after 1/192"),
        ("1/99999", "level has pictures of 99999 px, it may have up to 16384"),
        ("1/192@12", "level '1/192@12' is not STEPS[@FPS][/SIZE]"),
        ("1@6", "level has 6 fps, it may have 8 to 120, or none named"),
        ("2/taehv,1", "a codec cannot change while a stream runs"),
        ("1:128x128", "a codec cannot change while a stream runs"),
    ],
)
def test_what_is_wrong_with_a_ladder_is_said(text: str, error: str) -> None:
    """with the value, the rule, and an example of what to write."""
    with pytest.raises(ValueError, match=re.escape(error)):
        parse_levels(text)


def test_a_ladder_has_an_end() -> None:
    """a list of any length would be a list that nobody has thought about."""
    many = ",".join(f"1@{fps}" for fps in range(100, 100 - MAX_LEVELS - 1, -1))
    with pytest.raises(ValueError, match=f"ladder has {MAX_LEVELS + 1} levels"):
        parse_levels(many)


def test_a_stream_has_the_levels_below_its_top() -> None:
    """its own steps first, whether or not the ladder has them."""
    ladder = parse_levels("4,2,1,1@15")
    assert [one.spec for one in ladder.below(Level(steps=3))] == ["3", "2", "1", "1@15"]
    assert [one.spec for one in ladder.below(Level(steps=1))] == ["1", "1@15"]
    assert [one.spec for one in parse_levels("4").below(Level(steps=4))] == ["4"]
    sized = parse_levels("2,1,1/192,1@12/192")
    assert [one.spec for one in sized.below(Level(steps=1))] == ["1", "1/192", "1@12/192"]
    assert [one.spec for one in sized.below(Level(steps=1, size_px=192))] == ["1/192", "1@12/192"]


def test_a_model_of_one_size_has_the_other_parts_of_its_levels() -> None:
    """those that differ in their size alone are one."""
    levels = parse_levels("2,1,1/192,1@12/192,held")
    assert levels.without_sizes().spec == "2,1,1@12,held"
    assert levels.sizes_px == {192}


def test_a_size_that_the_model_has_not_is_refused() -> None:
    """with those that it has."""
    levels = parse_levels("2,1/192,1/100")
    levels.check_sizes([256, 192, 100])
    with pytest.raises(ValueError, match=r"levels of 100 px, .* name /256, /192"):
        levels.check_sizes([192, 256])


def test_the_default_is_a_ladder_that_can_be_written() -> None:
    assert parse_levels(DEFAULT_LEVELS.spec) == DEFAULT_LEVELS


def test_levels_are_named_for_people() -> None:
    assert [parse_level(text).text for text in ("2", "1", "1@12.5", "1@12/192")] == [
        "2 steps",
        "1 step",
        "1 step at 12.5 fps",
        "1 step of 192 px at 12 fps",
    ]
    assert (Level().text, Level().spec) == ("held", "held")
