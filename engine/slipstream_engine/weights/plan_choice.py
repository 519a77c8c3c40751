"""Which of several devices runs what: by name, from a file, or by what the model takes here."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import torch
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters

from slipstream_engine.config import CHUNK_FRAMES, Preset
from slipstream_engine.device.memory import memory_of
from slipstream_engine.diffusion.memory_admission import is_out_of_memory
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.group.serve_rank import layouts_of
from slipstream_engine.parallel.link_times import slowest_link
from slipstream_engine.parallel.message_layouts import MessageLayouts
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDevice:
    """What the whole model takes on a device.

    Args:
        costs: without those of links.
        free_bytes: of its memory, without the model; None where that is not looked at.
        layouts: of what its ranks would send each other.
    """

    costs: ModelCosts
    free_bytes: int | None
    layouts: MessageLayouts

    def beside(self, first: ModelCosts, *, steps: int) -> DeviceCosts:
        """As one of several devices, whose first has these costs."""
        room_bytes = None if self.free_bytes is None else round(_MEMORY_SHARE * self.free_bytes)
        slowness = _chunk_ms(self.costs, steps) / _chunk_ms(first, steps)
        return DeviceCosts(slowness=slowness, memory_bytes=room_bytes)


def plan_for(request: ModelRequest, preset: Preset, devices: Sequence[str]) -> NotedPlan:
    """The plan that a request asks for; `auto` measures the model on one device of each kind.

    Raises:
        ValueError: if there is none, or it is not for so many devices or this model.
        OSError: if its file cannot be read.
    """
    ranks, names = len(devices), ", ".join(devices)
    if request.plan != AUTO:
        plan = plan_of(request.plan, preset, ranks=ranks, max_steps=request.max_steps)
        return NotedPlan(plan=plan, reason=f"{plan.form} over {names}, as asked")
    try:
        return choose_by(measure_on(devices[0], request), request, preset, devices)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        plan = plan_of("layers", preset, ranks=ranks, max_steps=request.max_steps)
        reason = f"{plan.form} over {names}, evenly: one device has no memory to measure the model"
        return NotedPlan(plan=plan, reason=reason)


def device_kind(name: str) -> str:
    """What devices of the same speed have in common."""
    device = torch.device(name)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def measure_on(name: str, request: ModelRequest) -> MeasuredDevice:
    """Run the whole model on a device, as small as it can be."""
    device = torch.device(name)
    memory = memory_of(device) if device.type == "cuda" else None
    free_bytes = memory.free_bytes() if memory else None
    with closing(_load_one(request, name)) as pipeline:
        return MeasuredDevice(
            costs=costs_of(pipeline), free_bytes=free_bytes, layouts=layouts_of(pipeline)
        )


def choose_by(
    first: MeasuredDevice, request: ModelRequest, preset: Preset, devices: Sequence[str]
) -> NotedPlan:
    """The best plan by what the model takes on the first device, and on one of each other kind,
    and by what the slowest link takes.

    Raises:
        ValueError: if no plan fits.
        RuntimeError, MemoryError: if the model does not fit on one of these.
    """
    measured = {device_kind(devices[0]): first}
    for name in devices:
        if (kind := device_kind(name)) not in measured:
            measured[kind] = measure_on(name, request)
    beside = [
        measured[device_kind(name)].beside(first.costs, steps=preset.schedule.steps)
        for name in devices
    ]
    link = slowest_link(devices, first.layouts)
    costs = msgspec.structs.replace(
        first.costs, activations_ms=link.activations_ms, latents_ms=link.latents_ms
    )
    choice = choose_plan(
        costs,
        beside,
        Demand(
            steps=preset.schedule.steps,
            max_steps=request.max_steps or len(preset.schedule.step_list),
            streams=request.max_streams,
            chunk_period_ms=CHUNK_FRAMES * 1000 / preset.fps,
        ),
    )
    plan = choice.chosen.plan
    reason = f"{plan.form} over {', '.join(devices)}: {choice.reason}"
    if len({device.slowness for device in beside}) > 1:
        times = ", ".join(f"{device.slowness:.2f}" for device in beside)
        reason += f"; they take {times} times as long as the first"
    if link.note:
        reason += f"; {link.note}"
    logger.info("plan: %s", reason)
    return NotedPlan(plan=plan, reason=reason)


def _chunk_ms(costs: ModelCosts, steps: int) -> float:
    return costs.encode_ms + sum(costs.pass_block_ms(steps)) + costs.decode_ms


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
    """What a model on one device takes, by running it."""
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
