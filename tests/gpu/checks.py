"""Checks of a device: plain functions, so that a machine without pytest can run them, too."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from slipstream_engine.config import Compilation, EngineConfig
from slipstream_engine.device.transfer import Download, Upload
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.weights.random import random_bundle
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

from tests.engine import small_real

LEVELS = 2  # by which rounding may move a pixel


def copies_lose_nothing(device: str) -> None:
    """Every chunk is itself after a way there and back behind slow work."""
    shape, side = (5, 720, 832), 4096 if device.startswith("cuda") else 64
    target = torch.device(device)
    most_bytes = math.prod(shape)
    upload, download = Upload(most_bytes, target), Download(most_bytes, target)
    load = torch.randn(side, side, device=target)
    out = np.empty(shape, dtype=np.uint8)
    for number in range(12):
        chunk = np.full(shape, number, dtype=np.uint8)
        with upload.sent(chunk) as sent_THW:
            chunk[:] = 255  # the caller's own again
            load = (load @ load).clamp(-1, 1)
            made_THW = sent_THW + 100
        download.fetch(made_THW, out)
        assert (out == number + 100).all(), f"chunk {number} came back changed"


def recorded_frames_are_the_eager_ones(device: str, codec: str) -> None:
    """Through steps and a reset."""
    eager = _generated(device, codec, Compilation.NONE)
    _assert_close(eager, _generated(device, codec, Compilation.GRAPH))


def fused_frames_are_the_plain_ones(device: str) -> None:
    """The fused kernels against torch's own operations."""
    plain = _generated(device, "taehv", Compilation.NONE, is_fused=False)
    _assert_close(plain, _generated(device, "taehv", Compilation.NONE, is_fused=True))


CHECKS: Mapping[str, Callable[[str], None]] = {
    "copies": copies_lose_nothing,
    "fused": fused_frames_are_the_plain_ones,
    **{
        f"graph {codec}": partial(recorded_frames_are_the_eager_ones, codec=codec)
        for codec in ("wan", "wan+taehv", "taehv")
    },
}


def _generated(
    device: str, codec: str, compilation: Compilation, *, is_fused: bool | None = None
) -> list[I420]:
    config = EngineConfig(
        preset=small_real.preset(codec=codec),
        device=device,
        max_streams=2,
        compilation=compilation,
        max_steps=4,
    )
    torch.manual_seed(6)  # of the prompt; the weights are the same every time
    bundle = random_bundle(config, sizes=small_real.SIZES)
    pipeline = DiffusionPipeline(config, bundle)
    if is_fused is not None:
        bundle.model.is_fused = is_fused
    if device.startswith("cuda"):
        pipeline.warm_up()
        assert "eager" not in pipeline.note and "not of" not in pipeline.note, pipeline.note
    stream = pipeline.open(Parameters(seed=3))
    full = config.preset.cache.slots + 2  # chunks, the last ones with a full cache
    frames = small_real.run(pipeline, stream, range(full))
    stream.apply(Parameters(denoising_step_list=(700, 500, 400)))
    frames += small_real.run(pipeline, stream, range(full, full + 2))
    stream.apply(Parameters(reset_cache=True))
    return frames + small_real.run(pipeline, stream, range(full + 2, 2 * full + 2))


def _assert_close(ours: list[I420], theirs: list[I420]) -> None:
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        most = int(np.abs(a.astype(int) - b.astype(int)).max())
        assert most <= LEVELS, f"chunk {number} differs by {most} levels, {LEVELS} are rounding"
