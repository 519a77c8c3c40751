"""What a warm pipeline's passes take, before the first viewer comes: admission needs an answer."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import numpy as np
from slipstream_protocol.clock import NS_PER_MS, now_ns

from slipstream_engine.latency import LatencyModel, Line
from slipstream_engine.pipeline import Pipeline
from slipstream_engine.work import Kind, Stage

CHUNKS = 4  # the first one is of another level, three make a belief
_GREY = 128

ResultT = TypeVar("ResultT")


def nothing_learnt() -> LatencyModel:
    """A guess for any pass: most of it is work, some of it all its members pay once."""
    return LatencyModel(Line(base_ns=2 * NS_PER_MS, per_item_ns=8 * NS_PER_MS))


def rehearse(pipeline: Pipeline[Any], chunks: int = CHUNKS) -> LatencyModel:
    """Learn from a throw-away stream of grey pictures with the pipeline's own parameters."""
    latency = nothing_learnt()

    def timed(kind: Kind, action: Callable[..., ResultT], *inputs: Any) -> ResultT:
        started_ns = now_ns()
        result = action(*inputs)
        pipeline.finish()
        latency.observe(kind, items=1, duration_ns=max(1, now_ns() - started_ns))
        return result

    geometry = pipeline.geometry
    with closing(pipeline.open(pipeline.defaults)) as stream:
        for number in range(chunks):
            shape = stream.shape
            encode, denoise, decode = (Kind(stage=stage, level=shape.level) for stage in Stage)
            frames_THW = np.full(
                (geometry.frames_of(number), *geometry.frame_shape), _GREY, dtype=np.uint8
            )
            chunk = timed(encode, stream.encode, frames_THW)
            for _ in range(shape.steps):
                timed(denoise, pipeline.denoise, [chunk])
            timed(decode, stream.decode, chunk, np.empty_like(frames_THW))
    return latency
