"""What a warm pipeline's passes take, before the first viewer comes: admission needs an answer."""

from collections import defaultdict
from collections.abc import Callable, Hashable
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

import numpy as np
from slipstream_protocol.clock import NS_PER_MS, now_ns

from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.types import ChunkShape, PassKind, Stage
from slipstream_engine.serving.pipeline_protocol import Pipeline

CHUNKS = 4  # the first one is of another level, three make a belief
_GREY = 128
_SHARED = 0.2  # of a pass, to begin with: what its members would pay only once
_GUESS_NS = 10 * NS_PER_MS

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was learnt.

    Args:
        steady_chunk_ns: what most of a stream's chunks take alone, from first stage to last.
    """

    latency: LatencyModel
    steady_chunk_ns: float


class _Record:
    """How long passes took, by their kind."""

    def __init__(self, pipeline: Pipeline[Any]) -> None:
        self._pipeline = pipeline
        self._spent_ns: defaultdict[PassKind, list[int]] = defaultdict(list)

    def time(self, kind: PassKind, action: Callable[..., ResultT], *inputs: Any) -> ResultT:
        started_ns = now_ns()
        result = action(*inputs)
        self._pipeline.finish()
        self._spent_ns[kind].append(max(1, now_ns() - started_ns))
        return result

    def chunk_ns(self, shape: ChunkShape) -> float:
        """What a chunk of this shape takes, each of its passes at its median."""
        passes = {Stage.ENCODE: 1, Stage.DENOISE: shape.steps, Stage.DECODE: 1}
        return sum(
            count * median(self._spent_ns[PassKind(stage=stage, level=shape.level)])
            for stage, count in passes.items()
            if count
        )

    def model(self) -> LatencyModel:
        """Begins at the median of each kind; what was never seen is taken for the slowest."""
        medians_ns = {kind: median(spent) for kind, spent in self._spent_ns.items()}
        slowest_ns = max(medians_ns.values())
        lines: dict[Hashable, LinearLatency] = {kind: _line(ns) for kind, ns in medians_ns.items()}
        model = LatencyModel(_line(slowest_ns), lines)
        for kind, spent in self._spent_ns.items():
            for duration_ns in spent:
                model.observe(kind, items=1, duration_ns=duration_ns)
        return model


def _line(alone_ns: float) -> LinearLatency:
    return LinearLatency(base_ns=_SHARED * alone_ns, per_item_ns=(1 - _SHARED) * alone_ns)


def default_latency_model() -> LatencyModel:
    """The same guess for any pass."""
    return LatencyModel(_line(_GUESS_NS))


def longest_chunk_ms(latency: LatencyModel, steps: int) -> float:
    """What a chunk of the slowest level takes alone with so many steps; 0 if nothing is known."""
    spent_ns: defaultdict[str, float] = defaultdict(float)
    for kind in latency.kinds:
        assert isinstance(kind, PassKind), "a pipeline's passes are of kinds"
        times = steps if kind.stage is Stage.DENOISE else 1
        spent_ns[kind.level] += times * latency.line(kind).at(1)
    return max(spent_ns.values(), default=0.0) / NS_PER_MS


def calibrate(pipeline: Pipeline[Any], chunks: int = CHUNKS) -> Calibration:
    """Learn from a throw-away stream of grey pictures with the pipeline's own parameters."""
    record = _Record(pipeline)
    geometry = pipeline.geometry
    with closing(pipeline.open(pipeline.defaults)) as stream:
        for number in range(chunks):
            shape = stream.shape
            encode, denoise, decode = (PassKind(stage=stage, level=shape.level) for stage in Stage)
            frames_THW = np.full(
                (geometry.frames_of(number), *geometry.frame_shape), _GREY, dtype=np.uint8
            )
            chunk = record.time(encode, stream.encode, frames_THW)
            for _ in range(shape.steps):
                record.time(denoise, pipeline.denoise, [chunk])
            record.time(decode, stream.decode, chunk, np.empty_like(frames_THW))
        return Calibration(
            latency=record.model(), steady_chunk_ns=record.chunk_ns(stream.steady_shape)
        )
