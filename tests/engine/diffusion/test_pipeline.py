"""diffusion/pipeline.py, diffusion/chunk.py, diffusion/state.py: a stream is the same numbers in
whatever order and company.
"""

import gc
import resource
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from slipstream_engine.conditioning.worker import TextWorker
from slipstream_engine.config import NoiseMode, Pinning, Positions
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.errors import AdmissionError
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.scheduling.types import level_at
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters, Prompt
from torch import Tensor

from tests.engine.toys import (
    CACHE,
    DIT,
    SCHEDULE,
    ToyText,
    moving_chunk,
    toy_model,
    toy_pipeline,
    toy_preset,
)

ADAPTIVE = replace(CACHE, sink_threshold=0.95)


class HeldText(TextWorker):
    """A text worker whose prompts are encoded when the test sets their results."""

    def __init__(self) -> None:
        self._futures: dict[str, Future[torch.Tensor]] = {}

    def submit(self, text: str) -> Future[torch.Tensor]:
        return self._futures.setdefault(text, Future())

    def close(self) -> None:
        pass


def run(stream: DiffusionStream[Any], chunks: range, *, seed: int = 0) -> list[I420]:
    """What a stream makes of chunks of the endless clip."""
    generated = []
    for number in chunks:
        frames = moving_chunk(number, seed=seed)
        out = np.empty_like(frames)
        stream.step(frames, out)
        generated.append(out)
    return generated


def assert_equal(ours: list[I420], theirs: list[I420]) -> None:
    assert len(ours) == len(theirs)
    for chunk, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert np.array_equal(a, b), f"chunk {chunk} differs"


def assert_close(ours: list[I420], theirs: list[I420]) -> None:
    """Equal but for rounding, which may tip a pixel over to the next level."""
    assert len(ours) == len(theirs)
    for chunk, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        off = np.abs(a.astype(int) - b.astype(int))
        assert off.max() <= 1 and (off > 0).mean() < 1e-3, f"chunk {chunk}: {off.max()}"


def test_output_changes_with_everything_it_should() -> None:
    """Input, prompt, seed, strength and number of steps all show in the picture."""
    base = run(toy_pipeline().open(Parameters()), range(3))
    for change in (
        Parameters(prompt="a dog"),
        Parameters(seed=1),
        Parameters(noise_scale=0.5),
        Parameters(denoising_step_list=(700,)),
    ):
        other = run(toy_pipeline().open(change), range(3))
        assert not np.array_equal(base[2], other[2]), change
    assert not np.array_equal(base[2], run(toy_pipeline().open(Parameters()), range(3), seed=5)[2])


@pytest.mark.parametrize("cache", [CACHE, ADAPTIVE], ids=["plain", "adaptive"])
@pytest.mark.parametrize("steps", [2, 4])
def test_steps_at_once_equal_the_stream_batch(cache: Any, steps: int) -> None:
    """A chunk's steps at once, each with its own row, are step i batched with the next chunk's."""
    preset = toy_preset(cache=cache, schedule=replace(SCHEDULE, steps=steps))
    generated = run(toy_pipeline(preset).open(Parameters()), range(14))
    pipeline = toy_pipeline(preset)
    stream = pipeline.open(Parameters())
    batched = run(stream, range(1))
    under_way: list[Any] = []
    for number in range(1, 14 + steps - 1):
        if number < 14:
            under_way.append(stream.encode(moving_chunk(number)))
        pipeline.denoise(under_way)
        if under_way[0].is_clean:
            out = np.empty_like(generated[1])
            stream.decode(under_way.pop(0), out)
            batched.append(out)
    assert_close(batched, generated)


@pytest.mark.parametrize("cache", [CACHE, ADAPTIVE], ids=["plain", "adaptive"])
def test_a_chunk_keeps_what_it_began_with(cache: Any) -> None:
    """Prompt, seed and strength change behind a chunk under way, and do not reach it."""
    change = Parameters(prompt="a dog", seed=7, noise_scale=0.5)
    pipeline = toy_pipeline(toy_preset(cache=cache))
    plain = pipeline.open(Parameters())
    generated = run(plain, range(8))
    plain.apply(change)
    generated += run(plain, range(8, 9))
    stream = pipeline.open(Parameters())
    assert_equal(run(stream, range(7)), generated[:7])
    first = stream.encode(moving_chunk(7))
    pipeline.denoise([first])
    stream.apply(change)
    second = stream.encode(moving_chunk(8))
    pipeline.denoise([second])
    pipeline.denoise([first])
    pipeline.denoise([second])
    for chunk, wanted in ((first, generated[7]), (second, generated[8])):
        out = np.empty_like(wanted)
        stream.decode(chunk, out)
        assert np.array_equal(out, wanted)


def test_streams_in_one_pass_equal_each_alone() -> None:
    """With prompts, seeds and ages of their own, filling and full, to within rounding."""
    settings = [Parameters(), Parameters(prompt="a dog", seed=9), Parameters(prompt="a fish")]
    preset = toy_preset(cache=ADAPTIVE)
    alone = [run(toy_pipeline(preset).open(p), range(9), seed=n) for n, p in enumerate(settings)]
    pipeline = toy_pipeline(preset)
    streams = [pipeline.open(p) for p in settings]
    generated: list[list[I420]] = [[] for _ in streams]
    run(streams[2], range(3), seed=2)  # is ahead of the others
    for number in range(9):
        chunks = [s.encode(moving_chunk(number, seed=n)) for n, s in enumerate(streams[:2])]
        if number and number + 2 < 9:
            chunks.append(streams[2].encode(moving_chunk(number + 2, seed=2)))
        while not chunks[0].is_clean:
            pipeline.denoise(chunks)
        for stream, chunk, frames in zip(streams, chunks, generated, strict=False):
            frames.append(np.empty_like(moving_chunk(number)))
            stream.decode(chunk, frames[-1])
    assert_close(generated[0], alone[0])
    assert_close(generated[1], alone[1])
    assert_close(generated[2], alone[2][3:])


def test_nothing_is_left_after_close() -> None:
    """A lane given back is empty and serves the next stream like a new one."""
    preset = toy_preset(cache=ADAPTIVE)
    pipeline = toy_pipeline(preset, max_streams=2)
    wanted = run(toy_pipeline(preset).open(Parameters()), range(8))
    for seed in range(5):
        stream, other = (
            pipeline.open(Parameters(seed=seed, prompt="a dog")),
            pipeline.open(Parameters()),
        )
        run(stream, range(7), seed=seed)
        stream.close()
        other.close()
        pool = pipeline.pool.cache
        assert not any(tensor.any() for tensor in (pool.k_NRKSHD, pool.v_NRKSHD))
        assert not any(tensor.any() for tensor in pool.eviction.state())
        assert_equal(run(pipeline.open(Parameters()), range(8)), wanted)


def test_a_fresh_stream_in_a_used_process() -> None:
    """A stream opened after another one ran makes the very frames it would have made first."""
    pipeline = toy_pipeline(toy_preset(cache=ADAPTIVE))
    first = run(pipeline.open(Parameters()), range(9))
    run(pipeline.open(Parameters(prompt="a dog", seed=3)), range(11), seed=7)
    assert_equal(run(pipeline.open(Parameters()), range(9)), first)


def test_two_interleaved_streams_equal_each_alone() -> None:
    """Streams that take turns on one pipeline never see each other."""
    mine, yours = Parameters(), Parameters(prompt="a dog", seed=9, denoising_step_list=(600,))
    preset = toy_preset(cache=ADAPTIVE)
    alone = [
        run(toy_pipeline(preset).open(p), range(9), seed=s) for p, s in ((mine, 0), (yours, 4))
    ]
    pipeline = toy_pipeline(preset)
    a, b = pipeline.open(mine), pipeline.open(yours)
    taken: tuple[list[I420], list[I420]] = ([], [])
    for number in range(9):
        taken[0].extend(run(a, range(number, number + 1), seed=0))
        taken[1].extend(run(b, range(number, number + 1), seed=4))
    assert_equal(taken[0], alone[0])
    assert_equal(taken[1], alone[1])


def test_changed_steps_take_over_a_past() -> None:
    """Steps go 2, 1, 4, 2 without a restart; one that joins takes over the nearest one's cache."""
    stream = toy_pipeline().open(Parameters())
    run(stream, range(8))
    stream.apply(Parameters(denoising_step_list=(700,)))
    run(stream, range(8, 10))
    stream.apply(Parameters(denoising_step_list=(700, 500, 400, 200)))
    cache = stream.state.step_cache.cache
    before = cache.k_NRKSHD.clone()
    with torch.inference_mode():
        stream.state.step_cache.begin_chunk(4)
    for row in (1, 2, 3):
        assert torch.equal(cache.k_NRKSHD[:, row], before[:, 0])
    run(stream, range(10, 13))
    stream.apply(Parameters(denoising_step_list=(700, 500)))
    generated = run(stream, range(13, 15))
    assert all(frames.std() > 0 for frames in generated)


def test_one_step_does_not_depend_on_the_rows_behind_it() -> None:
    """Cache rows of steps that are not run change nothing."""
    one = run(toy_pipeline().open(Parameters(denoising_step_list=(700,))), range(8))
    short = toy_preset(schedule=replace(SCHEDULE, step_list=(700,), steps=1))
    assert_equal(run(toy_pipeline(short).open(Parameters()), range(8)), one)


def test_reset_cache_forgets_the_past_once() -> None:
    """After a reset the next chunk is a first one for the cache, and only then."""
    stream = toy_pipeline(toy_preset(cache=ADAPTIVE)).open(Parameters())
    run(stream, range(8))
    assert stream.shape.level == level_at("steady", stream.host.size)
    stream.apply(Parameters(reset_cache=True))
    assert stream.shape.level == level_at("restart", stream.host.size)
    run(stream, range(8, 9))
    assert stream.host.past_frames == 1
    assert stream.state.step_cache.cache.k_NRKSHD[:, :, 1:].abs().sum() == 0
    run(stream, range(9, 18))
    assert stream.host.past_frames == 10


def test_fixed_noise_keeps_a_still_picture_still() -> None:
    """With fixed noise, one step and a full cache a static input gives a static output."""
    cache = replace(CACHE, slots=4, sinks=1, pinning=Pinning.SINKS, positions=Positions.RELATIVE)
    schedule = replace(SCHEDULE, step_list=(450,), steps=1)
    for mode, is_still in ((NoiseMode.FIXED, True), (NoiseMode.FRESH, False)):
        stream = toy_pipeline(toy_preset(cache=cache, schedule=schedule, noise=mode)).open(
            Parameters()
        )
        generated = []
        for number in range(30):
            frames = np.full((5 if number == 0 else 4, 48, 32), 90, dtype=np.uint8)
            out = np.empty_like(frames)
            stream.step(frames, out)
            generated.append(out)
        change = int(np.abs(generated[-1].astype(int) - generated[-2].astype(int)).max())
        assert (change <= 1) is is_still, f"{mode}: {change}"


def test_a_prompt_that_is_ready_at_the_start_is_the_only_one_conditioned_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The preset's own is the first chunk's only where the viewer's is still being encoded."""
    pipeline = toy_pipeline()
    condition, conditioned = CausalDit.condition, list[Tensor]()

    def counted(self: CausalDit, text_BTE: Tensor) -> Conditioning:
        conditioned.append(text_BTE)
        return condition(self, text_BTE)

    monkeypatch.setattr(CausalDit, "condition", counted)
    run(pipeline.open(Parameters(prompt="a cat")), range(3))
    assert [torch.equal(text, ToyText().encode("a cat")[None]) for text in conditioned] == [True]


def test_prompt_change_is_whole_at_the_next_chunk() -> None:
    """Without a transition the next chunk has the new prompt; each text is encoded once."""
    text = ToyText()
    stream = toy_pipeline(text=text).open(Parameters(prompt="a cat"))
    run(stream, range(3))
    stream.apply(Parameters(prompt="a dog"))
    assert stream.prompts == (Prompt("a dog"),)
    run(stream, range(3, 4))
    embedding = ToyText().encode("a dog")
    assert torch.equal(stream.host.track.embedding_TE, embedding)
    wanted = toy_model().condition(embedding[None])
    assert stream.state.conditioning is not None
    assert torch.equal(stream.state.conditioning.k_NBTHD, wanted.k_NBTHD)
    stream.apply(Parameters(prompt="a cat"))
    run(stream, range(4, 5))
    assert text.encoded_texts == ["a cat", "a dog"]


def test_a_slow_prompt_makes_no_chunk_wait(caplog: pytest.LogCaptureFixture) -> None:
    """Until a prompt is encoded chunks are made with the old one; one that fails is given up."""
    worker = HeldText()
    worker.submit("a cat").set_result(ToyText().encode("a cat"))
    pipeline = toy_pipeline(text_worker=worker)
    stream, steady = pipeline.open(Parameters()), toy_pipeline().open(Parameters())
    assert_equal(run(stream, range(2)), run(steady, range(2)))
    for broken in ("a fish", "a bird"):
        stream.apply(Parameters(prompt=broken))
        assert stream.prompts == (Prompt(broken),)
    worker.submit("a bird").set_exception(OSError("no such file"))
    assert_equal(run(stream, range(2, 4)), run(steady, range(2, 4)))
    assert stream.prompts == (Prompt("a cat"),)
    assert "no such file" in caplog.text
    stream.apply(Parameters(prompt="a dog"))
    assert_equal(run(stream, range(4, 5)), run(steady, range(4, 5)))
    worker.submit("a dog").set_result(ToyText().encode("a dog"))
    steady.apply(Parameters(prompt="a dog"))
    assert_equal(run(stream, range(5, 8)), run(steady, range(5, 8)))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (Parameters(denoising_step_list=(900, 800, 700, 600)), None),
        (Parameters(noise_scale=0.9), "noise_scale is 0.9, this model takes 0.1 to 0.8"),
        (Parameters(prompts=(Prompt("a", 0.0),)), "weights of 1 prompts are all 0"),
        (Parameters(denoising_step_list=(90, 50)), "ends at 50, .* lie above 60"),
        (
            Parameters(denoising_step_list=(900, 800, 700)),
            "has 3 steps, the most is 2",
        ),
    ],
)
def test_what_the_model_cannot_do_is_refused_whole(
    parameters: Parameters, words: str | None
) -> None:
    """A value outside the model's reach is an error that changes nothing."""
    if words is None:
        assert toy_pipeline().open(parameters).host.settings.step_list[0] == 900
        return
    schedule = replace(
        SCHEDULE, step_list=(700, 500), noise_scale_range=(0.1, 0.8), renoise_offset=60
    )
    stream = toy_pipeline(toy_preset(schedule=schedule)).open(Parameters())
    before = stream.host.settings, stream.prompts
    with pytest.raises(ValueError, match=words):
        stream.apply(parameters.merged(Parameters(seed=77)))
    assert (stream.host.settings, stream.prompts) == before


def test_only_so_many_streams() -> None:
    """One stream too many is refused with the limit; one closed, or forgotten, makes room."""
    pipeline = toy_pipeline(max_streams=1)
    stream = pipeline.open(Parameters())
    with pytest.raises(AdmissionError, match="1 streams are open, the limit is 1"):
        pipeline.open(Parameters())
    stream.close()
    stream = pipeline.open(Parameters())
    del stream
    pipeline.open(Parameters())


def test_size_must_divide_into_tokens() -> None:
    """A frame that is not a whole number of tokens is an error before any work."""
    with pytest.raises(ValueError, match="height is 40 px, it must be a multiple of 16"):
        toy_pipeline(replace(toy_preset(), height_px=40))


def test_warm_up_leaves_no_stream() -> None:
    """Warming up neither takes a place nor changes what a stream makes."""
    cold, warm = toy_pipeline(max_streams=1), toy_pipeline(max_streams=1)
    served: Pipeline[Any] = warm  # the loop's own view of it
    served.warm_up()
    assert_equal(run(warm.open(Parameters()), range(4)), run(cold.open(Parameters()), range(4)))


@pytest.mark.slow
@pytest.mark.parametrize("positions", list(Positions))
def test_hundreds_of_chunks(positions: Positions) -> None:
    """A long stream's memory stays flat, its positions in the table, its numbers finite."""
    cache = replace(CACHE, positions=positions)
    dit = replace(DIT, positions=64)  # a position beyond the window's refresh would be an error
    stream = toy_pipeline(toy_preset(cache=cache, dit=dit)).open(Parameters())
    chunk, later = moving_chunk(0), moving_chunk(1)
    out = np.empty_like(later)
    stream.step(chunk, np.empty_like(chunk))

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    for number in range(400):
        if number == 150:
            alive, kib = tensors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stream.step(later, out)
    assert tensors() == alive
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib < 16 * 1024
    assert torch.isfinite(stream.state.step_cache.cache.v_NRKSHD).all()
    assert out.std() > 0
