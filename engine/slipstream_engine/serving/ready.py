"""The message with which the engine announces what it serves."""

from typing import Any

from slipstream_protocol.arena import Layout
from slipstream_protocol.messages import Ready

from slipstream_engine.serving.pipeline_protocol import Pipeline


def ready_message(pipeline: Pipeline[Any], layout: Layout, *, note: str) -> Ready:
    """The first message to the server.

    Args:
        layout: of the arena whose descriptor travels with it.
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
    )
