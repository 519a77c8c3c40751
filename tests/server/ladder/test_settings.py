"""What an operator may set of the ladder."""

import pytest
from slipstream_protocol.frames import FrameSize, Geometry
from slipstream_protocol.levels import DEFAULT_LEVELS, Level, parse_levels
from slipstream_protocol.messages import OfferedSize, Ready, Vocabulary
from slipstream_protocol.parameters import Parameters
from slipstream_server.config import ServerConfig
from slipstream_server.engine.engine_stream import StreamPromise
from slipstream_server.errors import ConfigError
from slipstream_server.ladder.settings import LadderSettings


def test_unset_the_levels_are_the_models_own() -> None:
    settings = LadderSettings.parse("", "")
    assert settings.levels_of(DEFAULT_LEVELS) == DEFAULT_LEVELS
    assert settings.floor is None


def test_levels_that_are_set_go_before_the_models() -> None:
    settings = LadderSettings.parse("2,1,held", "1")
    assert settings.levels_of(DEFAULT_LEVELS) == parse_levels("2,1,held")
    assert settings.floor == Level(steps=1)


def test_off_is_a_ladder_with_nothing_below_any_choice() -> None:
    """and a floor beside it says nothing."""
    levels = LadderSettings.parse("off", "4").levels_of(DEFAULT_LEVELS)
    assert [levels.below(Level(steps=steps)) for steps in (1, 4)] == [
        (Level(steps=1),),
        (Level(steps=4),),
    ]
    assert not levels.can_hold


@pytest.mark.parametrize(
    ("ladder", "floor", "error"),
    [
        ("", "0", "level '0' is not STEPS\\[@FPS\\]\\[/SIZE\\]"),
        (
            "2,1",
            "3",
            "quality floor is 3, above the top of the ladder, which is 2; name one of 2,1",
        ),
        ("2,3", "", "ladder has 3 after 2, each level must cost less"),
        (" ", "", "ladder has 0 levels, it must have 1 to 32"),
        ("2/taehv", "", "a codec cannot change while a stream runs"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(ladder: str, floor: str, error: str) -> None:
    """of the server, with the rule."""
    with pytest.raises(ConfigError, match=error):
        ServerConfig(ladder=ladder, quality_floor=floor)
    assert ServerConfig(ladder="2,1").ladder_settings == LadderSettings.parse("2,1", "")


def test_a_stream_is_promised_the_lowest_level_that_it_may_be_moved_to() -> None:
    """the operator's floor, else the last of the levels that are not held; at the camera's rate
    where the level names none."""
    assert LadderSettings().lowest_of(DEFAULT_LEVELS) == Level(steps=1, fps=8.0)
    floored = LadderSettings.parse("4,2,1@12,held", "2")
    lowest = floored.lowest_of(DEFAULT_LEVELS)
    promise = StreamPromise.of_camera(25, chunk_frames=4, lowest=lowest)
    assert (promise.period_ns, promise.floor_steps, promise.floor_period_ns) == (160_000_000, 2, 0)
    at_rate = LadderSettings.parse("4,2,1@12,held", "").lowest_of(DEFAULT_LEVELS)
    promise = StreamPromise.of_camera(30, chunk_frames=4, lowest=at_rate)
    assert (promise.floor_steps, promise.floor_period_ns) == (1, 333_333_333)


def test_a_size_that_the_engine_has_not_is_refused() -> None:
    """in the ladder, or as the floor."""
    ready = Ready(
        pipeline="p",
        preset="p",
        geometry=Geometry(width_px=8, height_px=8, first_chunk_frames=1, chunk_frames=1),
        lanes=1,
        in_slots=1,
        out_slots=1,
        defaults=Parameters(),
        step_list=(1,),
        noise_scale_range=(0.0, 1.0),
        vocabulary=Vocabulary(),
        note="",
        levels=parse_levels("1,1/4"),
        sizes=tuple(OfferedSize(size=FrameSize(px, px), scale_px=px) for px in (8, 4)),
    )
    LadderSettings().check(ready)
    LadderSettings.parse("2,1,1/4", "1@8/4").check(ready)
    for ladder, floor in (("2,1,1/6", ""), ("", "1/6")):
        with pytest.raises(ValueError, match="levels of 6 px, which this model does not generate"):
            LadderSettings.parse(ladder, floor).check(ready)
