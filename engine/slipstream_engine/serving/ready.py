"""The message with which the engine announces what it serves."""

from typing import Any

from slipstream_protocol.arena import Layout
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.messages import Ready

from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.types import PassKind, Stage
from slipstream_engine.serving.pipeline_protocol import Pipeline


def ready_message(
    pipeline: Pipeline[Any], layout: Layout, latency: LatencyModel, *, note: str
) -> Ready:
    """The first message to the server.

    Args:
        layout: of the arena whose descriptor travels with it.
        latency: has observed what the server takes as the usual time of a chunk.
        note: added to the pipeline's own note.
    """
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
        chunk_ms=longest_chunk_ms(latency, steps=len(pipeline.step_list)),
    )


def longest_chunk_ms(latency: LatencyModel, *, steps: int) -> float:
    """Time of a chunk alone with all `steps`, at the slowest level; 0 where none was measured."""
    levels = {kind.level for kind in latency.kinds if isinstance(kind, PassKind)}
    return max((_chunk_ns(latency, level, steps) / NS_PER_MS for level in levels), default=0.0)


def _chunk_ns(latency: LatencyModel, level: str, steps: int) -> float:
    passes = {Stage.ENCODE: 1, Stage.DENOISE: steps, Stage.DECODE: 1}
    return sum(
        count * latency.line(PassKind(stage=stage, level=level)).at(1)
        for stage, count in passes.items()
    )
