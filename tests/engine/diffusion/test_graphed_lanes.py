"""Lanes and their graphs: recorded before anybody comes, in every size, and left clean."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from slipstream_engine.config import Compilation, EngineConfig
from slipstream_engine.diffusion.cuda_graphs import Recording
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.levels import parse_levels
from slipstream_protocol.parameters import Parameters
from torch import Tensor

from tests.engine import tape
from tests.engine.diffusion.graphed_streams import (
    ADAPTIVE,
    SteadyCodec,
    assert_equal,
    run,
    toy_pipeline,
)
from tests.engine.toys import (
    CACHE,
    ToyText,
    toy_model,
    toy_preset,
)


@pytest.mark.parametrize("cache", [CACHE, ADAPTIVE], ids=["plain", "adaptive"])
def test_a_lane_opened_again_has_its_graphs(cache: Any) -> None:
    """Whoever has a lane next records nothing and makes the very frames of a stream on a new one,
    whatever the one before has left behind; and warming up leaves nothing to record to anybody."""
    recorded: list[int] = []

    def counted(function: Callable[[], Tensor]) -> Recording:
        recorded.append(1)
        return tape.record(function)

    pipeline = toy_pipeline(Compilation.GRAPH, cache, recorder=counted)
    pipeline.warm_up()
    warm = len(recorded)
    assert warm == 4 * 4  # of four lanes: both ways of the codec and the preset's two steps
    eager = run(toy_pipeline(Compilation.NONE, cache).open(Parameters()), range(14))
    before = pipeline.open(Parameters(prompt="a dog", seed=8))
    run(before, range(9))
    lane = before.state.first_row
    before.close()
    again = pipeline.open(Parameters())
    assert again.state.first_row == lane
    assert_equal(run(again, range(14)), eager)
    assert len(recorded) == warm


SIZES = (FrameSize(32, 32), FrameSize(16, 16), FrameSize(16, 48))


def sized_pipeline(
    compilation: Compilation, recorder: Callable[[Callable[[], Tensor]], Recording] = tape.record
) -> DiffusionPipeline[Any]:
    """Of two scales, of which the ladder has both, and two shapes."""
    preset = replace(
        toy_preset(),
        smaller_sizes_px=((16, 16),),
        aspects=((1, 3),),
        levels=parse_levels("2,1,1/16"),
    )
    config = EngineConfig(preset=preset, compilation=compilation, max_streams=2)
    bundle = ModelBundle(model=toy_model(), codec=SteadyCodec(), text=ToyText())
    return DiffusionPipeline(config, bundle, recorder=recorder)


def run_sizes(stream: DiffusionStream[Any]) -> list[I420]:
    """Each size, and each again."""
    generated: list[I420] = []
    for number, size in enumerate(SIZES * 2):
        stream.resize(size)
        rng = np.random.default_rng(number)
        for chunk in range(6):
            shape = (4 if chunk else 5, *size.frame_shape)
            frames = rng.integers(0, 256, shape, dtype=np.uint8)
            generated.append(np.empty_like(frames))
            stream.step(frames, generated[-1])
    return generated


def test_no_size_of_the_ladder_is_recorded_live() -> None:
    """Warming up records each size of each lane, in every shape; whoever has a lane next goes from
    one to the other and back, records nothing, and makes the frames that eager code makes."""
    recorded: list[int] = []

    def counted(function: Callable[[], Tensor]) -> Recording:
        recorded.append(1)
        return tape.record(function)

    pipeline = sized_pipeline(Compilation.GRAPH, counted)
    assert [one.size for one in pipeline.sizes] == [SIZES[0], SIZES[2], SIZES[1]]
    pipeline.warm_up()
    warm = len(recorded)
    assert warm == 2 * len(SIZES) * 4  # both ways of the codec and the preset's two steps
    eager = run_sizes(sized_pipeline(Compilation.NONE).open(Parameters()))
    for _ in range(2):
        stream = pipeline.open(Parameters())
        assert_equal(run_sizes(stream), eager)
        stream.close()
    assert len(recorded) == warm


def test_a_lane_keeps_nothing_of_a_picture_at_any_size() -> None:
    """What waits for the lane to come back to a size is empty."""
    pipeline = sized_pipeline(Compilation.GRAPH)
    stream = pipeline.open(Parameters())
    run_sizes(stream)
    stream.close()
    lane = pipeline.pool.acquire(SIZES[0])
    codecs = [lane.codec, *(one.codec for one in lane.others.values())]
    assert len(codecs) == len(SIZES)
    assert not any(codec.encoded.any() or codec.decoded.any() for codec in codecs)


def test_a_lane_comes_back_empty() -> None:
    """No number of a viewer's picture, past or prompt is left on its memory."""
    pipeline = toy_pipeline(Compilation.GRAPH)
    stream = pipeline.open(Parameters(prompt="a secret", seed=3))
    run(stream, range(9))
    state = stream.state
    stream.close()
    cache = state.step_cache.cache
    assert all(not tensor.any() for tensor in cache.eviction.state())
    assert not cache.k_NRKSHD.any() and not cache.v_NRKSHD.any()
    assert not state.codec.encoded.any() and not state.codec.decoded.any()
    held = state.static_conditioning.conditioning
    assert held is not None and not held.k_NBTHD.any() and not held.v_NBTHD.any()
