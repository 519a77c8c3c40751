"""diffusion/cuda_graphs.py: a stream run from recorded graphs makes the frames that eager code
makes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slipstream_engine.config import Compilation
from slipstream_engine.diffusion.cuda_graphs import Recording
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters, Prompt, Transition
from torch import Tensor

from tests.engine import small_real, tape
from tests.engine.diffusion.graphed_streams import (
    ADAPTIVE,
    RELATIVE,
    assert_equal,
    run,
    toy_pipeline,
)
from tests.engine.toys import (
    CACHE,
    ToyCodec,
    moving_chunk,
)


def eventful(stream: DiffusionStream[Any]) -> list[I420]:
    """A stream in which everything changes that a viewer can change."""
    generated = run(stream, range(12))
    stream.apply(Parameters(prompt="a dog", noise_scale=0.6))
    generated += run(stream, range(12, 15))
    target = (Prompt("a cat"), Prompt("a fish", 0.5))
    stream.apply(Parameters(transition=Transition(target, num_steps=3), seed=5))
    generated += run(stream, range(15, 20))
    stream.apply(Parameters(denoising_step_list=(700, 500, 400)))
    generated += run(stream, range(20, 24))
    stream.apply(Parameters(denoising_step_list=(600,), reset_cache=True))
    generated += run(stream, range(24, 34))
    return generated


@pytest.mark.parametrize("cache", [CACHE, ADAPTIVE, RELATIVE], ids=["plain", "adaptive", "rel."])
def test_graphs_make_the_same_frames(cache: Any) -> None:
    """Bit for bit, through prompts, transitions, steps, strength, seeds and a reset."""
    graphed = toy_pipeline(Compilation.GRAPH, cache).open(Parameters())
    eager = toy_pipeline(Compilation.NONE, cache).open(Parameters())
    assert_equal(eventful(graphed), eventful(eager))
    steps = {("denoise", row) for row in range(3)}
    assert graphed.state.runner.recorded == {("encode", 4), ("decode", 1), *steps}
    assert not eager.state.runner.recorded


@pytest.mark.parametrize("codec", ["wan", "taehv", "wan+taehv"])
def test_the_real_codecs_can_be_recorded(tmp_path: Path, codec: str) -> None:
    """All that Wan's VAE, TAEHV and the transformer carry stays in its place, for the lane's next
    viewer too."""
    weights = small_real.write_weights(tmp_path / "weights")
    generated = []
    for compilation in (Compilation.NONE, Compilation.GRAPH):
        pipeline = small_real.make(
            weights,
            tmp_path / "cache",
            small_real.preset(codec=codec),
            compilation=compilation,
            recorder=tape.record,
        )
        stream = pipeline.open(Parameters(seed=3))
        generated.append(small_real.run(pipeline, stream, range(10)))
        stream.close()
        again = pipeline.open(Parameters(seed=3))
        assert_equal(small_real.run(pipeline, again, range(10)), generated[0])
        pipeline.close()
    steps = {("denoise", row) for row in range(2)}
    assert stream.state.runner.recorded == {("encode", 4), ("decode", 1), *steps}
    assert_equal(generated[1], generated[0])


def test_streams_have_graphs_of_their_own() -> None:
    """Two streams that take turns make what each makes alone, and a third starts clean."""
    pipeline = toy_pipeline(Compilation.GRAPH)
    one, two = (pipeline.open(Parameters(seed=seed)) for seed in (1, 2))
    generated: tuple[list[I420], list[I420]] = ([], [])
    for number in range(12):
        generated[0].extend(run(one, range(number, number + 1)))
        generated[1].extend(run(two, range(number, number + 1)))
    made_last = run(pipeline.open(Parameters(seed=1)), range(12))
    alone = [
        run(toy_pipeline(Compilation.NONE).open(Parameters(seed=seed)), range(12))
        for seed in (1, 2)
    ]
    assert_equal(generated[0], alone[0])
    assert_equal(generated[1], alone[1])
    assert_equal(made_last, alone[0])


def test_shared_passes_have_graphs_for_any_streams() -> None:
    """One for a number of chunks, whoever they are of and whichever step they are at; the frames
    are bit for bit those of the same passes run eagerly."""
    generated: list[list[I420]] = []
    for compilation in (Compilation.NONE, Compilation.GRAPH):
        pipeline = toy_pipeline(compilation)
        streams = [pipeline.open(Parameters(seed=seed, prompt=f"p{seed}")) for seed in range(3)]
        for stream in streams:
            run(stream, range(8))
        out: list[I420] = []
        for number in range(8, 16):
            pair = [streams[(number + n) % 3] for n in (0, 1)]
            chunks = [stream.encode(moving_chunk(number)) for stream in pair]
            pipeline.denoise(chunks[:1])  # from here on they are a step apart
            pipeline.denoise(chunks)
            pipeline.denoise(chunks[1:])
            for stream, chunk in zip(pair, chunks, strict=True):
                out.append(np.empty_like(moving_chunk(number)))
                stream.decode(chunk, out[-1])
        generated.append(out)
    assert pipeline.denoiser.runner.recorded == {("batch", 2, 2, 4, 4)}
    assert_equal(generated[1], generated[0])


def test_no_graph_of_a_shared_pass_is_recorded_live() -> None:
    """Warming up records every size, for one stream and for all, and leaves nothing to record."""
    recorded: list[int] = []

    def counted(function: Callable[[], Tensor]) -> Recording:
        recorded.append(1)
        return tape.record(function)

    pipeline = toy_pipeline(Compilation.GRAPH, recorder=counted, cpu_batch=4, lanes=2)
    pipeline.warm_up()
    shared = {("batch", *rows, 4, 4) for rows in ((2, 1), (2, 2), (3, 3), (4, 4))}
    assert pipeline.denoiser.runner.recorded == shared
    warm = len(recorded)
    streams = [pipeline.open(Parameters(seed=seed, prompt=f"p{seed}")) for seed in range(2)]
    for stream in streams:
        run(stream, range(6))
    for number in range(6, 10):
        chunks = [stream.encode(moving_chunk(number)) for stream in streams]
        while not chunks[0].is_clean:
            pipeline.denoise(chunks)
        for stream, chunk in zip(streams, chunks, strict=True):
            stream.decode(chunk, np.empty_like(moving_chunk(number)))
    assert len(recorded) == warm


def test_a_filling_cache_is_a_level_of_its_own() -> None:
    """Its chunks share passes among themselves only, so those of full caches run from graphs."""
    stream = toy_pipeline(Compilation.NONE).open(Parameters())
    levels = []
    for number in range(7):
        levels.append(stream.shape.level)
        chunk = stream.encode(moving_chunk(number))
        assert chunk.is_steady == (levels[-1] == stream.steady_shape.level)
    names = ["first", "filling", "filling", "filling", "steady", "steady", "steady"]
    assert levels == [f"{name} 32x32" for name in names]


def test_the_tape_can_fail() -> None:
    """A codec that puts new tensors in its state makes other frames from a graph."""
    graphed = toy_pipeline(Compilation.GRAPH, codec=ToyCodec()).open(Parameters())
    eager = toy_pipeline(Compilation.NONE, codec=ToyCodec()).open(Parameters())
    with pytest.raises(AssertionError, match="differs"):
        assert_equal(run(graphed, range(6)), run(eager, range(6)))
