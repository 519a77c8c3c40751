"""diffusion/stream_batch.py: the same frames as a chunk's steps at once, some chunks later."""

from dataclasses import replace

import numpy as np
import pytest
from slipstream_engine.config import CacheParams
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

from tests.engine.toys import CACHE, SCHEDULE, moving_chunk, toy_pipeline, toy_preset

ADAPTIVE = replace(CACHE, sink_threshold=0.95)


def generate(*, batched: bool, steps: int, cache: CacheParams, chunks: int) -> list[I420]:
    """What comes out, chunk by chunk; zeros where nothing does."""
    schedule = replace(SCHEDULE, steps=steps)
    pipeline = toy_pipeline(toy_preset(cache=cache, schedule=schedule))
    stream, outs = pipeline.open(Parameters(), batched=batched), []
    for number in range(chunks):
        out = np.zeros_like(moving_chunk(number))
        stream.step(moving_chunk(number), out)
        outs.append(out)
    return outs


@pytest.mark.parametrize("cache", [CACHE, ADAPTIVE], ids=["plain", "adaptive"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_same_frames_later(steps: int, cache: CacheParams) -> None:
    """The first chunk comes at once, every other one steps - 1 chunks late, and none is lost."""
    chunks, late = 14, steps - 1
    at_once = generate(batched=False, steps=steps, cache=cache, chunks=chunks)
    batched = generate(batched=True, steps=steps, cache=cache, chunks=chunks + late)
    assert np.array_equal(batched[0], at_once[0])
    assert not any(out.any() for out in batched[1 : 1 + late])
    for ours, theirs in zip(batched[1 + late :], at_once[1:], strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1  # rounded from sums in another order


def test_steps_may_not_change_under_way() -> None:
    """Chunks under way have as many rows as steps; another number must wait for a reset."""
    stream = toy_pipeline().open(Parameters(), batched=True)
    for number in range(3):
        stream.step(moving_chunk(number), np.empty_like(moving_chunk(number)))
    stream.apply(Parameters(denoising_step_list=(700, 500, 400)))
    with pytest.raises(ValueError, match=r"^3 steps are asked for while chunks of another number"):
        stream.step(moving_chunk(3), np.empty_like(moving_chunk(3)))
