"""Which of several devices runs what: by name, from a file, or by what the model takes here."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters

from slipstream_engine.config import CHUNK_FRAMES, Preset
from slipstream_engine.device.memory import memory_of
from slipstream_engine.diffusion.memory_admission import is_out_of_memory
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan, read_plan
from slipstream_engine.parallel.plan_forms import even_ranges, layers_plan, steps_plan
from slipstream_engine.parallel.planner import Demand, choose_plan
from slipstream_engine.weights.factory import load_diffusion
from slipstream_engine.weights.request import ModelRequest

logger = logging.getLogger(__name__)

AUTO = "auto"
_MEASURED_CHUNKS = 3
_MEMORY_SHARE = 0.8  # of what is free: the rest is for what passes compute in


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedPlan:
    """A plan, and why it was taken, for people."""

    plan: PipelinePlan
    reason: str


def plan_for(request: ModelRequest, preset: Preset, devices: Sequence[str]) -> NotedPlan:
    """The plan that a request asks for; `auto` measures the model on the first device.

    Raises:
        ValueError: if there is none, or it is not for so many devices or this model.
        OSError: if its file cannot be read.
    """
    ranks, names = len(devices), ", ".join(devices)
    if request.plan != AUTO:
        plan = plan_of(request.plan, preset, ranks=ranks, max_steps=request.max_steps)
        return NotedPlan(plan=plan, reason=f"{plan.form} over {names}, as asked")
    device = torch.device(devices[0])
    memory = memory_of(device) if device.type == "cuda" else None
    free_bytes = memory.free_bytes() if memory else None
    try:
        with closing(_load_one(request, devices[0])) as pipeline:
            costs = costs_of(pipeline)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        plan = plan_of("layers", preset, ranks=ranks, max_steps=request.max_steps)
        reason = f"{plan.form} over {names}, evenly: one device has no memory to measure the model"
        return NotedPlan(plan=plan, reason=reason)
    return choose_by(costs, free_bytes, request, preset, devices)


def choose_by(
    costs: ModelCosts,
    free_bytes: int | None,
    request: ModelRequest,
    preset: Preset,
    devices: Sequence[str],
) -> NotedPlan:
    """The best plan by what the model takes.

    Args:
        free_bytes: of each device's memory; None where it is not looked at.

    Raises:
        ValueError: if no plan fits.
    """
    room_bytes = None if free_bytes is None else round(_MEMORY_SHARE * free_bytes)
    choice = choose_plan(
        costs,
        [DeviceCosts(memory_bytes=room_bytes)] * len(devices),
        Demand(
            steps=preset.schedule.steps,
            max_steps=request.max_steps or len(preset.schedule.step_list),
            streams=request.max_streams,
            chunk_period_ms=CHUNK_FRAMES * 1000 / preset.fps,
        ),
    )
    plan = choice.chosen.plan
    reason = f"{plan.form} over {', '.join(devices)}: {choice.reason}"
    logger.info("plan: %s", reason)
    return NotedPlan(plan=plan, reason=reason)


def plan_of(name: str, preset: Preset, *, ranks: int, max_steps: int | None) -> PipelinePlan:
    """The plan of that name for a preset, with even shares, or a file's.

    Raises:
        ValueError: if there is none, or it is not for so many devices or this model.
        OSError: if its file cannot be read.
    """
    blocks, steps = preset.dit.layers, max_steps or len(preset.schedule.step_list)
    if name == "layers":
        return layers_plan(even_ranges(blocks, ranks), steps=steps)
    if name == "steps":
        return steps_plan(ranks=ranks, steps=steps, blocks=blocks)
    plan = read_plan(Path(name).read_bytes())
    found = {"ranks": plan.ranks, "blocks": plan.blocks, "steps": plan.steps}
    wanted = {"ranks": ranks, "blocks": blocks, "steps": steps}
    for what, number in wanted.items():
        if found[what] != number:
            raise ValueError(
                f"{what} of the plan {name} is {found[what]}, here it must be {number}; "
                "make the plan for this preset and its devices (slipstream-engine plan)"
            )
    return plan


def _load_one(request: ModelRequest, device: str) -> DiffusionPipeline[Any]:
    """The whole model on one device, as small as it can be."""
    return load_diffusion(
        ModelRequest(
            preset=request.preset,
            size_px=request.size_px,
            device=device,
            weights=request.weights,
            codec=request.codec,
            threads=request.threads,
            checkpoint=request.checkpoint,
            compilation=request.compilation,
        )
    )


def costs_of(pipeline: DiffusionPipeline[Any]) -> ModelCosts:
    """What a model on one device takes, by running it; what links take is not known."""
    preset, model = pipeline.maker.preset, pipeline.bundle.model
    pipeline.warm_up()
    laps: list[StageTimes] = []
    with closing(pipeline.open(Parameters())) as stream:
        for number in range(preset.cache.slots + _MEASURED_CHUNKS):
            shape = (pipeline.geometry.frames_of(number), *pipeline.geometry.frame_shape)
            frames_THW = np.full(shape, 128, dtype=np.uint8)
            laps.append(stream.step(frames_THW, np.empty_like(frames_THW)))
    measured = laps[-_MEASURED_CHUNKS:]
    blocks = model.params.layers
    step_ms = median(lap.denoise_ms for lap in measured) / preset.schedule.steps
    return ModelCosts(
        encode_ms=median(lap.encode_ms for lap in measured),
        decode_ms=median(lap.decode_ms for lap in measured),
        block_ms=(step_ms / blocks,) * blocks,
        block_bytes=sum(tensor.nbytes for tensor in model.block(0).parameters()),
        cache_bytes=pipeline.pool.cache.nbytes // pipeline.pool.cache.row_count // blocks,
    )
