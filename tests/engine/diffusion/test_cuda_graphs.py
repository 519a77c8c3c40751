"""diffusion/cuda_graphs.py: a stream run from recorded graphs makes the frames that eager code
makes.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slipstream_engine.config import Compilation, DitParams, EngineConfig, Pinning, Positions
from slipstream_engine.diffusion.cuda_graphs import GraphPolicy, GraphRunner, Recording
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.levels import parse_levels
from slipstream_protocol.parameters import Parameters, Prompt, Transition
from torch import Tensor

from tests.engine import small_real, tape
from tests.engine.toys import (
    CACHE,
    CPU,
    DIT,
    ToyCodec,
    ToyText,
    moving_chunk,
    toy_model,
    toy_preset,
)

ADAPTIVE = replace(CACHE, sink_threshold=0.95)
RELATIVE = replace(CACHE, slots=4, sinks=1, pinning=Pinning.SINKS, positions=Positions.RELATIVE)


class SteadyCodec(ToyCodec):
    """A codec that keeps its state in place, as a graph needs it."""

    def encode(self, rgb_TCHW: Tensor, state: Any) -> Tensor:
        kept = state.encoded
        latents = super().encode(rgb_TCHW, state)
        state.encoded = kept.copy_(state.encoded)
        return latents

    def decode(self, latents_FCHW: Tensor, state: Any) -> Tensor:
        kept = state.decoded
        rgb = super().decode(latents_FCHW, state)
        state.decoded = kept.copy_(state.decoded)
        return rgb


def toy_pipeline(
    compilation: Compilation,
    cache: Any = CACHE,
    recorder: Callable[[Callable[[], Tensor]], Recording] | None = tape.record,
    codec: ToyCodec | None = None,
    dit: DitParams = DIT,
    model: CausalDit | None = None,
    cpu_batch: int = 1,
    lanes: int = 4,
) -> DiffusionPipeline[Any]:
    config = EngineConfig(
        preset=toy_preset(cache=cache, dit=dit),
        compilation=compilation,
        max_streams=lanes,
        cpu_batch=cpu_batch,
    )
    bundle = ModelBundle(
        model=model or toy_model(dit), codec=codec or SteadyCodec(), text=ToyText()
    )
    return DiffusionPipeline(config, bundle, recorder=recorder)


def run(stream: DiffusionStream[Any], chunks: range) -> list[I420]:
    generated = []
    for number in chunks:
        frames = moving_chunk(number)
        out = np.empty_like(frames)
        stream.step(frames, out)
        generated.append(out)
    return generated


def assert_equal(ours: list[I420], theirs: list[I420]) -> None:
    for chunk, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert np.array_equal(a, b), f"chunk {chunk} differs"


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


def test_a_result_is_the_callers_own() -> None:
    """The next replay does not reach into the last one's result; inputs are copied in."""
    policy = GraphPolicy(Compilation.GRAPH, CPU, recorder=tape.record)
    runner = GraphRunner(policy)
    generated = [runner.run("double", lambda x: x * 2, torch.tensor([float(n)])) for n in range(4)]
    assert torch.cat(generated).tolist() == [0, 2, 4, 6]
    assert runner.recorded == {"double"}


def test_what_cannot_be_recorded_runs_eagerly(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal costs nothing but the graph: it is said once, and no chunk is lost or changed."""

    refused = []

    def refuse(function: Callable[[], Tensor]) -> Recording:
        refused.append(tape.record(function))
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    pipeline = toy_pipeline(Compilation.GRAPH, recorder=refuse)
    stream, other = pipeline.open(Parameters()), pipeline.open(Parameters())
    eager = run(toy_pipeline(Compilation.NONE).open(Parameters()), range(8))
    assert_equal(run(stream, range(8)), eager)
    assert_equal(run(other, range(8)), eager)
    reason = "RuntimeError: operation not permitted when stream is capturing"
    names = "encode 4, decode 1, denoise 0, denoise 1"
    assert pipeline.note == f"a toy; CUDA graphs, not of {names}: {reason}"
    warnings = [record for record in caplog.records if record.getMessage().endswith(reason)]
    assert len(warnings) == 4
    assert len(refused) == 4 * 2, "on each lane once"


def test_one_refusal_costs_one_graph() -> None:
    """A shape that cannot be recorded runs eagerly; all others are recorded as before."""
    count = 0

    def refuse_the_second(function: Callable[[], Tensor]) -> Recording:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("out of room")
        return tape.record(function)

    pipeline = toy_pipeline(Compilation.GRAPH, recorder=refuse_the_second)
    stream = pipeline.open(Parameters())
    eager = run(toy_pipeline(Compilation.NONE).open(Parameters()), range(10))
    assert_equal(run(stream, range(10)), eager)
    assert pipeline.note.endswith("CUDA graphs, not of decode 1: RuntimeError: out of room")
    steps = {("denoise", row) for row in range(2)}
    assert stream.state.runner.recorded == {("encode", 4), *steps}


def test_without_a_gpu_there_are_no_graphs(caplog: pytest.LogCaptureFixture) -> None:
    """On the CPU the switch is answered with the reason, and everything runs."""
    pipeline = toy_pipeline(Compilation.GRAPH, recorder=None)
    assert pipeline.note == (
        "a toy; eager, not graph: RuntimeError: device is cpu, CUDA graphs need cuda"
    )
    pipeline.warm_up()
    assert_equal(
        run(pipeline.open(Parameters()), range(8)),
        run(toy_pipeline(Compilation.NONE).open(Parameters()), range(8)),
    )
    assert "device is cpu" in caplog.text
    assert toy_pipeline(Compilation.NONE).note == "a toy"


def test_graphs_that_cannot_be_had_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """What is thrown while warming up with graphs is logged, and the eager model serves."""

    class Fragile(SteadyCodec):
        is_eager = False

        def encode(self, rgb_TCHW: Tensor, state: Any) -> Tensor:
            if not self.is_eager:
                self.is_eager = True
                raise RuntimeError("no driver")
            return super().encode(rgb_TCHW, state)

    pipeline = toy_pipeline(Compilation.GRAPH, codec=Fragile())
    assert pipeline.note == "a toy; CUDA graphs"
    pipeline.warm_up()
    assert not pipeline.records_graphs
    assert pipeline.note == "a toy; eager, not graph: RuntimeError: no driver"
    assert "Traceback" in caplog.text
