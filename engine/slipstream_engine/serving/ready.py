"""The message with which the engine announces what it serves."""

from typing import Any

from slipstream_protocol.arena import Layout
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import OfferedSize, Ready

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.types import (
    ONE_RANK,
    ChunkShape,
    PassKind,
    Placement,
    moved_level,
)
from slipstream_engine.serving.pipeline_protocol import Pipeline, placement_of


def ready_message(
    pipeline: Pipeline[Any], layout: Layout, latency: LatencyModel, *, note: str
) -> Ready:
    """The first message to the server.

    Args:
        layout: of the arena whose descriptor travels with it.
        latency: has observed what the server takes as the usual time of a chunk.
        note: added to the pipeline's own note.
    """
    steps, placement = len(pipeline.step_list), placement_of(pipeline)
    return Ready(
        pipeline=pipeline.name,
        preset=pipeline.preset,
        geometry=pipeline.geometry,
        lanes=layout.lanes,
        in_slots=layout.in_slots,
        out_slots=layout.out_slots,
        defaults=pipeline.defaults,
        step_list=pipeline.step_list,
        noise_scale_range=pipeline.noise_scale_range,
        vocabulary=pipeline.vocabulary,
        note="; ".join(filter(None, (pipeline.note, note))),
        levels=pipeline.levels,
        fps=pipeline.fps,
        chunk_ms=longest_chunk_ms(latency, steps=steps, placement=placement),
        sizes=tuple(
            OfferedSize(
                size=one.size,
                scale_px=one.scale_px,
                chunk_ms=longest_chunk_ms(latency, steps=steps, size=one.size, placement=placement),
            )
            for one in pipeline.sizes
        ),
    )


def longest_chunk_ms(
    latency: LatencyModel,
    *,
    steps: int,
    size: FrameSize | None = None,
    placement: Placement = ONE_RANK,
) -> float:
    """Time of a chunk alone with all `steps`, at the slowest level; 0 where none was measured.

    Args:
        size: of its frames; None for the slowest of any.
    """
    levels = {kind.level for kind in latency.kinds if isinstance(kind, PassKind)}
    if size is not None:
        levels = {level for level in levels if moved_level(level, size) == level}
    backlog = Backlog(placement)
    plans = [backlog.plan(ChunkShape(level=level, steps=steps)) for level in levels]
    chunks_ns = [sum(latency.line(kind).at(1) for kind in plan.kinds) for plan in plans]
    return max(chunks_ns, default=0.0) / NS_PER_MS
