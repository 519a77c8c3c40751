"""A toy model behind the real loop, and what its streams generate without other streams."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from slipstream_engine.config import EngineConfig, Preset
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_protocol.arena import Layout
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import Ready
from slipstream_protocol.parameters import Parameters, Prompt, Transition

from tests.engine.loop_harness import LoopHarness
from tests.engine.toys import CACHE, ToyCodec, ToyText, moving_chunk, toy_model, toy_preset

PRESET = toy_preset(cache=replace(CACHE, sink_threshold=0.95))
CHUNKS = 30
EVENTS = {
    9: Parameters(prompt="a dog", noise_scale=0.6),
    12: Parameters(
        transition=Transition((Prompt("a cat"), Prompt("a fish", 0.5)), num_steps=3), seed=5
    ),
    15: Parameters(denoising_step_list=(700, 500, 400, 200)),
    18: Parameters(denoising_step_list=(700, 500)),
    20: Parameters(denoising_step_list=(700,)),
    22: Parameters(denoising_step_list=(700, 500, 400), reset_cache=True),
    25: Parameters(
        transition=Transition(
            (Prompt("a bird"),), num_steps=4, temporal_interpolation_method="slerp"
        )
    ),
}


def pipeline(
    *, cpu_batch: int = 1, lanes: int = 3, preset: Preset = PRESET
) -> DiffusionPipeline[Any]:
    config = EngineConfig(preset=preset, max_streams=lanes, cpu_batch=cpu_batch)
    return DiffusionPipeline(
        config, ModelBundle(model=toy_model(), codec=ToyCodec(), text=ToyText())
    )


@contextmanager
def serving(
    served: DiffusionPipeline[Any], *, in_slots: int = 1, **settings: Any
) -> Iterator[LoopHarness]:
    lanes = served.max_streams
    layout = Layout(geometry=served.geometry, lanes=lanes, in_slots=in_slots, out_slots=2)
    harness = LoopHarness(served, layout, **settings)
    try:
        assert isinstance(harness.receive(), Ready)
        yield harness
    finally:
        harness.close()


def alone(
    parameters: Parameters = Parameters(),  # noqa: B008  # frozen
    events: Mapping[int, Parameters] | None = None,
    *,
    chunks: Sequence[int] = range(CHUNKS),
    seed: int = 0,
) -> dict[int, I420]:
    """What a stream generates without the loop and other streams, chunk after chunk."""
    stream = pipeline().open(parameters)
    generated = {}
    for number in chunks:
        if events and number in events:
            stream.apply(events[number])
        frames = moving_chunk(number, seed=seed)
        generated[number] = np.empty_like(frames)
        stream.step(frames, generated[number])
    return generated


def assert_equal(ours: Mapping[int, I420], theirs: Mapping[int, I420]) -> None:
    assert sorted(ours) == sorted(theirs)
    for chunk, frames in theirs.items():
        assert np.array_equal(ours[chunk], frames), f"chunk {chunk} differs"


def assert_close(ours: Mapping[int, I420], theirs: Mapping[int, I420]) -> None:
    assert sorted(ours) == sorted(theirs)
    for chunk, frames in theirs.items():
        off = np.abs(ours[chunk].astype(int) - frames.astype(int))
        assert off.max() <= 1 and (off > 0).mean() < 1e-3, f"chunk {chunk}: {off.max()}"


def spy(served: DiffusionPipeline[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all denoising passes."""
    sizes: list[int] = []
    denoise = served.denoise

    def counted(chunks: Sequence[Any]) -> None:
        sizes.append(len(chunks))
        denoise(chunks)

    monkeypatch.setattr(served, "denoise", counted)
    return sizes
