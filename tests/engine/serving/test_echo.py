"""The pipeline without a model, with and without steps."""

from pathlib import Path

import numpy as np
import pytest
from slipstream_engine.serving.calibration import calibrate
from slipstream_engine.serving.echo import EchoPipeline
from slipstream_engine.serving.step_time import StepTime
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.parameters import Parameters


def test_without_a_time_for_them_there_are_no_steps() -> None:
    """whatever a viewer chooses; and its frames come back as they went in."""
    pipeline = EchoPipeline(width_px=32, height_px=16)
    stream = pipeline.open(Parameters(denoising_step_list=(1000, 500)))
    assert stream.shape.steps == stream.steady_shape.steps == 0
    frames_THW = np.random.default_rng(0).integers(
        0, 256, (4, *pipeline.geometry.frame_shape), np.uint8
    )
    out_THW = np.zeros_like(frames_THW)
    stream.decode(stream.encode(frames_THW), out_THW)
    assert (out_THW == frames_THW).all()


def test_a_chunk_takes_the_time_of_each_step_that_is_chosen(tmp_path: Path) -> None:
    """as measured at the start, which admits streams by it."""
    file = tmp_path / "step_ms"
    file.write_text("3\n")
    pipeline = EchoPipeline(width_px=32, height_px=16, step_time=StepTime(file))
    assert len(pipeline.step_list) == 4
    assert pipeline.defaults.denoising_step_list == pipeline.step_list
    assert calibrate(pipeline).steady_chunk_ns >= 4 * 3 * NS_PER_MS
    stream = pipeline.open(Parameters())
    assert stream.shape.steps == 4
    stream.apply(Parameters(denoising_step_list=(1000,)))
    assert stream.shape.steps == stream.steady_shape.steps == 1
    stream.apply(Parameters(seed=1))
    assert stream.shape.steps == 1


def test_the_time_of_a_step_follows_its_file(tmp_path: Path) -> None:
    """a file that is empty, gone or half written changes nothing."""
    file = tmp_path / "step_ms"
    file.write_text("40")
    time = StepTime(file)
    assert time.seconds() == pytest.approx(0.04)
    for text in ("", "-", "nan", "-3", "1e9"):
        file.write_text(text)
        assert time.seconds() == pytest.approx(0.04)
    file.unlink()
    assert time.seconds() == pytest.approx(0.04)
    file.write_text("150\n")
    assert time.seconds() == pytest.approx(0.15)


@pytest.mark.parametrize("text", ["", "fast", "nan", "-1", "10001", "\x00\xff"])
def test_a_file_without_a_time_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    """with what it holds and what it must."""
    file = tmp_path / "step_ms"
    file.write_text(text)
    with pytest.raises(ValueError, match="it must be the milliseconds of a step, from 0 to 10000"):
        StepTime(file)
