"""What decides, for a loaded group, whether blocks move between its ranks."""

from collections.abc import Sequence
from typing import Any

import torch

from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.kv_cache.row_budget import row_bytes
from slipstream_engine.models.dit.blocks import DitBlock
from slipstream_engine.parallel.block_scheduler import BlockScheduler, MovePolicy
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan

_ROOM_SHARE = 0.8  # of what is free: blocks that come lie beside those that have not gone yet
_MOVED_BYTES_PER_MS = 1e6  # between two processes of one host; links between GPUs are faster


def block_scheduler(
    local: DiffusionPipeline[Any], plan: PipelinePlan, free_bytes: Sequence[int | None]
) -> BlockScheduler:
    """Decides by what the ranks turn out to take, and what they have room for.

    Args:
        local: the pipeline of one of them.
        free_bytes: of each rank's memory, with its share of the model in it; None where that is not
            looked at.
    """
    preset, model, pool = local.maker.preset, local.bundle.model, local.pool
    with torch.device("meta"):
        numbers = sum(parameter.numel() for parameter in DitBlock(preset.dit).parameters())
    block_bytes = numbers * model.dtype.itemsize
    cache_bytes = row_bytes(
        preset.dit,
        preset.cache,
        frame_tokens=pool.cache.k_NRKSHD.shape[3],
        bytes_per_number=model.dtype.itemsize,
    )
    cache_bytes //= preset.dit.layers
    held_bytes = [
        block_bytes * len(plan.weights_of(rank))
        + cache_bytes
        * pool.lanes
        * sum(len(part.steps) * len(part.blocks) for part in plan.segments_of(rank))
        for rank in range(plan.ranks)
    ]
    return BlockScheduler(
        plan,
        ModelCosts(
            encode_ms=0.0,  # what the codec takes is measured, and how slow each rank is
            decode_ms=0.0,
            block_ms=(1.0,) * preset.dit.layers,
            block_bytes=block_bytes,
            cache_bytes=cache_bytes,
        ),
        [
            DeviceCosts(memory_bytes=None if free is None else held + round(_ROOM_SHARE * free))
            for free, held in zip(free_bytes, held_bytes, strict=True)
        ],
        steps=preset.schedule.steps,
        streams=pool.lanes,
        policy=MovePolicy(
            block_ms=(block_bytes + cache_bytes * pool.lanes * plan.steps) / _MOVED_BYTES_PER_MS
        ),
    )
