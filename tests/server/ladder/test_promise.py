"""What a stream promises, and what keeps it at another level."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.levels import DEFAULT_LEVELS, Level, parse_levels
from slipstream_server.ladder.promise import Others, longest_ns_at, outlook_at, outlook_now

from tests.server.ladder.readings import PROMISE, reading

times = st.floats(1, 500)
running = st.sampled_from((*DEFAULT_LEVELS.running, *parse_levels("2/192,1/192,1@12/192").running))


@given(running, times, times, st.floats(1, 60))
def test_a_stream_alone_foresees_what_it_then_measures(
    level: Level, codec_ms: float, step_ms: float, camera_fps: float
) -> None:
    """from any of the levels, about any other: age, rate and need are those measured there."""
    here = reading(Level(steps=4), codec_ms=codec_ms, step_ms=step_ms, camera_fps=camera_fps)
    there = reading(level, codec_ms=codec_ms, step_ms=step_ms, camera_fps=camera_fps)
    foreseen = outlook_at(here, level, PROMISE, Others())
    measured = outlook_now(there, PROMISE, Others())
    assert foreseen.age == pytest.approx(measured.age)
    assert foreseen.rate == pytest.approx(measured.rate)
    assert foreseen.need == pytest.approx(measured.need)


@given(running, times, times, st.floats(0, 400), st.floats(0, 1))
def test_a_lower_level_never_needs_more(
    level: Level, codec_ms: float, step_ms: float, beside_ms: float, load: float
) -> None:
    top = Level(steps=4)
    here = reading(top, codec_ms=codec_ms, step_ms=step_ms, beside_ms=beside_ms)
    others = Others(load=load, need=load)
    lower = outlook_at(here, level, PROMISE, others)
    assert lower.need <= outlook_at(here, top, PROMISE, others).need + 1e-9


def test_the_work_of_others_stays() -> None:
    """where the device is the limit it lies between two chunks; where it is not, it takes its share
    of the device."""
    full = reading(Level(steps=4), beside_ms=200)  # 200 ms of its own in 400
    assert outlook_at(full, Level(steps=2), PROMISE, Others()).rate == pytest.approx(
        320 * 16 * 0.9 / 4000
    )
    free = reading(Level(steps=1))
    assert outlook_at(free, Level(steps=4), PROMISE, Others(load=0.5)).rate == pytest.approx(
        400 * 16 * 0.9 / 4000
    )
    swamped = outlook_at(free, Level(steps=4), PROMISE, Others(load=7.0))
    assert swamped.rate == pytest.approx(200 / 0.05 * 16 * 0.9 / 4000)


def test_the_promise_is_the_slowest_of_camera_model_and_level() -> None:
    """a rate is promised for what the camera sends, and no more than the model is made for."""
    for camera_fps, level, fps in (
        (30, Level(steps=1), 16),
        (10, Level(steps=1), 10),
        (30, Level(steps=1, fps=8), 8),
        (5, Level(steps=1, fps=8), 5),
    ):
        assert PROMISE.longest_period_ns(camera_fps, level) == pytest.approx(4e9 / (0.9 * fps))
        filling = PROMISE.filling_ns(camera_fps, level)
        assert filling == pytest.approx(4e9 / max(8, min(camera_fps, level.fps or camera_fps)))


LOWEST = replace(PROMISE, lowest=Level(steps=1))


@given(running, times, times, st.floats(1, 60))
def test_no_more_is_owed_than_the_device_makes_at_the_lowest_level(
    level: Level, codec_ms: float, step_ms: float, camera_fps: float
) -> None:
    """so a stream that has a slow device to itself keeps its promise there, and no stream is ever
    owed more than by camera, model and level."""
    here = reading(level, codec_ms=codec_ms, step_ms=step_ms, camera_fps=camera_fps)
    assert outlook_at(here, Level(steps=1), LOWEST, Others()).rate <= 0.9 + 1e-9
    assert longest_ns_at(here, level, LOWEST) >= longest_ns_at(here, level, PROMISE) - 1


def test_what_is_owed_does_not_sink_with_the_level() -> None:
    """a chunk of four steps that takes too long is late, though the device
    makes no more of them alone: at one step it does."""
    late = reading(Level(steps=4), codec_ms=100, step_ms=150)
    assert outlook_now(late, LOWEST, Others()).rate == pytest.approx(700 * 16 * 0.9 / 4000)


def test_the_strain_is_that_of_the_worse_promise() -> None:
    late = outlook_now(reading(Level(steps=1), link_ms=2000), PROMISE, Others())
    assert late.strain == late.age > 2
    slow = outlook_now(reading(Level(steps=4), beside_ms=300), PROMISE, Others())
    assert slow.strain == slow.rate > 1
