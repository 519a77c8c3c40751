"""Toy streams that run from graphs, recorded by a tape, or eagerly."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from slipstream_engine.config import Compilation, DitParams, EngineConfig, Pinning, Positions
from slipstream_engine.diffusion.cuda_graphs import Recording
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_protocol.frames import I420
from torch import Tensor

from tests.engine import tape
from tests.engine.toys import (
    CACHE,
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
