"""A stream whose pictures change their size: it begins anew at the new one, and touches nobody."""

from dataclasses import replace

import numpy as np
import pytest
from slipstream_engine.config import EngineConfig, NoiseMode, Preset
from slipstream_engine.diffusion.cuda_graphs import Recorder
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_protocol.frames import I420, FrameSize
from slipstream_protocol.parameters import Parameters

from tests.engine.toys import CACHE, ToyCodec, ToyCodecState, ToyText, toy_model, toy_preset

OWN, SMALL, UPRIGHT = FrameSize(32, 32), FrameSize(16, 16), FrameSize(16, 48)


def preset(noise: NoiseMode = NoiseMode.FIXED) -> Preset:
    return replace(
        toy_preset(noise=noise, cache=replace(CACHE, sink_threshold=0.95)),
        smaller_sizes_px=((16, 16),),
        aspects=((1, 3),),
    )


def pipeline(
    noise: NoiseMode = NoiseMode.FIXED, recorder: Recorder | None = None, lanes: int = 2
) -> DiffusionPipeline[ToyCodecState]:
    bundle = ModelBundle(model=toy_model(), codec=ToyCodec(), text=ToyText())
    config = EngineConfig(preset=preset(noise), max_streams=lanes, cpu_batch=2)
    return DiffusionPipeline(config, bundle, recorder=recorder)


def frames(size: FrameSize, number: int, *, is_first: bool) -> I420:
    rng = np.random.default_rng([number, size.pixels])
    return rng.integers(0, 256, (5 if is_first else 4, *size.frame_shape), dtype=np.uint8)


def run(stream: DiffusionStream[ToyCodecState], size: FrameSize, numbers: range) -> list[I420]:
    """Chunks of that size, of which the first is one that a stream begins with."""
    stream.resize(size)
    generated = []
    for number in numbers:
        chunk = frames(size, number, is_first=number == numbers.start)
        generated.append(np.empty_like(chunk))
        stream.step(chunk, generated[-1])
    return generated


def test_the_sizes_are_one_for_each_aspect_at_each_scale() -> None:
    """with no more tokens than the scale's own."""
    assert [(str(one.size), one.scale_px) for one in pipeline().sizes] == [
        ("32x32", 32),
        ("16x48", 32),
        ("16x16", 16),
    ]


@pytest.mark.parametrize("size", [SMALL, UPRIGHT])
def test_a_stream_that_changes_its_size_goes_on_as_one_opened_at_it(size: FrameSize) -> None:
    """nothing of the frames before is left: not in the cache, the codec or the noise scale."""
    changed = pipeline().open(Parameters())
    run(changed, OWN, range(9))
    served = pipeline()
    served.begin_at(size)
    opened = served.open(Parameters())
    for ours, theirs in zip(
        run(changed, size, range(9, 18)), run(opened, size, range(9, 18)), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_a_stream_that_comes_back_to_its_size_begins_anew_too() -> None:
    """on memory that another size has used meanwhile."""
    there_and_back = pipeline().open(Parameters())
    for size in (OWN, UPRIGHT, SMALL):
        run(there_and_back, size, range(8))
    fresh = pipeline().open(Parameters())
    for ours, theirs in zip(
        run(there_and_back, OWN, range(8)), run(fresh, OWN, range(8)), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_the_size_that_a_stream_has_changes_nothing() -> None:
    stream, other = pipeline().open(Parameters()), pipeline().open(Parameters())
    ours = run(stream, OWN, range(6))
    for number, theirs in enumerate(ours):
        other.resize(OWN)
        chunk = frames(OWN, number, is_first=number == 0)
        again = np.empty_like(chunk)
        other.step(chunk, again)
        assert np.array_equal(again, theirs)


def test_a_lane_keeps_nothing_of_the_size_it_had() -> None:
    """a stream on it makes the frames that it would make on a new one."""
    served = pipeline(lanes=1)
    before = served.open(Parameters())
    run(before, SMALL, range(8))
    before.close()
    fresh = pipeline().open(Parameters())
    for ours, theirs in zip(
        run(served.open(Parameters()), OWN, range(8)), run(fresh, OWN, range(8)), strict=True
    ):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("sizes", [(OWN, SMALL), (SMALL, SMALL)])
def test_streams_of_two_sizes_lie_in_one_pool(sizes: tuple[FrameSize, FrameSize]) -> None:
    """what one writes the other does not see, and those of one size still share their passes."""
    served = pipeline(NoiseMode.FRESH)
    streams = [served.open(Parameters()) for _ in sizes]
    alone = [pipeline(NoiseMode.FRESH).open(Parameters()) for _ in sizes]
    levels = set()
    for number in range(9):
        chunks = []
        for stream, size in zip(streams, sizes, strict=True):
            stream.resize(size)
            levels.add(stream.steady_shape.level)
            chunks.append(stream.encode(frames(size, number, is_first=number == 0)))
        for _ in range(2):
            if sizes[0] == sizes[1]:
                served.denoise(chunks)
            else:
                for chunk in chunks:
                    served.denoise([chunk])
        for stream, lonely, size, chunk in zip(streams, alone, sizes, chunks, strict=True):
            given = frames(size, number, is_first=number == 0)
            ours, theirs = np.empty_like(given), np.empty_like(given)
            stream.decode(chunk, ours)
            lonely.resize(size)
            lonely.step(given, theirs)
            assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert len(levels) == len(set(sizes)), "chunks of two sizes cannot share a pass"


def test_no_size_of_a_stream_is_left_behind() -> None:
    """nothing of a viewer's pictures lies on a lane that is free, at whatever size they ended."""
    served = pipeline(lanes=1)
    stream = served.open(Parameters())
    for size in (OWN, UPRIGHT, SMALL):
        run(stream, size, range(8))
    assert served.pool.cache.k_NRKSHD.any()
    stream.close()
    assert not served.pool.cache.k_NRKSHD.any() and not served.pool.cache.v_NRKSHD.any()


def test_a_lane_that_has_the_size_is_taken_first() -> None:
    """its state and its graphs serve the next stream as they are."""
    pool = pipeline().pool
    small, own = pool.acquire(SMALL), pool.acquire(OWN)
    state = small.codec
    pool.release(small)
    pool.release(own)
    again = pool.acquire(SMALL)
    assert again is small and again.codec is state
    assert pool.acquire(UPRIGHT) is own
