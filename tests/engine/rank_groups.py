"""Groups of ranks for tests: small random models, ranks as threads or as processes."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import convert
from slipstream_engine.config import CacheParams, EngineConfig, NoiseMode, Preset
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.group.messages import Setup, ToRank
from slipstream_engine.group.paths import share_of
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.group.serve_rank import serve_rank
from slipstream_engine.group.staging import Staging
from slipstream_engine.group.workers import Workers
from slipstream_engine.parallel.block_scheduler import BlockScheduler
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.random import random_bundle
from slipstream_protocol.channel import Channel
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

BLOCKS = 4
SINKS_REFRESHED = CacheParams(slots=5, sinks=2, sink_threshold=0.99, refresh_frames=7)
BY_AGE = PRESETS["tiny"].cache


def small_preset(cache: CacheParams = SINKS_REFRESHED) -> Preset:
    """The tiny preset's codec with a transformer of four small blocks."""
    tiny = PRESETS["tiny"].at_one_size(32, 32)
    dit = replace(tiny.dit, dim=24, heads=2, layers=BLOCKS, ffn_dim=32, freq_dim=32)
    return replace(
        tiny,
        dit=dit,
        cache=cache,
        noise=NoiseMode.FRESH,
        reduced_precision=False,  # a setting of the whole process, which threads share
    )


def small_config(cache: CacheParams = SINKS_REFRESHED) -> EngineConfig:
    return EngineConfig(preset=small_preset(cache), max_streams=2)


def one_process(config: EngineConfig) -> DiffusionPipeline[Any]:
    return DiffusionPipeline(config, random_bundle(config))


def thread_group(
    config: EngineConfig, plan: PipelinePlan, scheduler: BlockScheduler | None = None
) -> GroupPipeline:
    """A group whose ranks are threads of this process, over Gloo as processes are; close it."""
    workers, staging = Workers(["cpu"] * plan.ranks), Staging()
    pipelines = []
    for rank in range(plan.ranks):
        setup = Setup(
            rank=rank,
            plan=plan,
            config=replace(config, share=share_of(plan, rank), max_steps=plan.steps),
            weights="",
            random_weights=True,
            store=str(workers.store),
            threads=1,
            fingerprint="",
        )
        pipelines.append(one_process(setup.config))
        workers.start_thread(rank, partial(_serve, setup, pipelines[-1], staging))
    workers.await_ready("")
    return GroupPipeline(pipelines[0], plan, workers, staging, note="", scheduler=scheduler)


def _serve(
    setup: Setup, pipeline: DiffusionPipeline[Any], staging: Staging, channel: Channel[ToRank]
) -> None:
    staged = None if setup.rank else staging
    serve_rank(setup, channel, pipeline, fingerprint="", staging=staged)


NO_WEIGHTS = Path("no-weights-are-read")

# what happens to two streams before a chunk of both: changes of either
Changes = dict[int, tuple[dict[str, object], dict[str, object]]]

STEADY: Changes = {}
LIVE: Changes = {
    2: ({"prompts": [{"text": "ink"}]}, {"denoising_step_list": [450, 250, 225]}),
    3: ({"denoising_step_list": [450, 250, 225, 200]}, {"seed": 7, "noise_scale": 0.2}),
    5: (
        {"transition": {"target_prompts": [{"text": "oil"}], "num_steps": 2}},
        {"denoising_step_list": [450]},
    ),
    6: ({"reset_cache": True}, {"denoising_step_list": [450, 250]}),
    8: ({"denoising_step_list": [450, 250]}, {"reset_cache": True}),
}


def film(
    pipeline: DiffusionPipeline[Any] | GroupPipeline,
    *,
    steps: int,
    chunks: int,
    changes: Changes = STEADY,
) -> list[I420]:
    """The frames of two streams that take turns, chunk by chunk."""
    step_list = pipeline.step_list[:steps]
    streams = [
        pipeline.open(convert({"denoising_step_list": step_list, "seed": seed}, Parameters))
        for seed in (1, 2)
    ]
    noise = np.random.default_rng(5)
    made: list[I420] = []
    for number in range(chunks):
        for stream, change in zip(streams, changes.get(number, ({}, {})), strict=True):
            stream.apply(convert(change, Parameters))
            shape = (pipeline.geometry.frames_of(number), *pipeline.geometry.frame_shape)
            frames_THW = noise.integers(0, 256, shape, dtype=np.uint8)
            made.append(np.empty_like(frames_THW))
            stream.step(frames_THW, made[-1])
    for stream in streams:
        stream.close()
    return made
