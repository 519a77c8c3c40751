"""Measures a warm pipeline's passes, so that streams can be admitted by load from the start."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

import msgspec
import numpy as np
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_protocol.frames import FrameSize

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.types import ChunkShape, PassKind, Stage, moved_level
from slipstream_engine.serving.pipeline_protocol import Pipeline, RankCompletion, placement_of

STEADY_CHUNKS = 3  # so many samples of a kind are trusted
_GREY = 128
_BASE_SHARE = (
    0.2  # of a lone denoising pass: the part taken to be shared before larger ones are observed
)
_DEFAULT_PASS_NS = 10 * NS_PER_MS

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The result of a calibration.

    Args:
        size: of the frames.
        durations_ns: of all passes of it, by their kind.
        steady_chunk_ns: what a stream's chunks after the first take alone, all stages together.
    """

    size: FrameSize
    durations_ns: Mapping[PassKind, Sequence[int]]
    steady_chunk_ns: float

    def medians_ns(self) -> dict[PassKind, float]:
        return {kind: median(times) for kind, times in self.durations_ns.items()}


def latency_of(
    calibrations: Sequence[Calibration], sizes: Iterable[FrameSize] = ()
) -> LatencyModel:
    """A model that has observed all passes of the calibrations.

    It starts each kind at its median, kinds of a size that was not measured at those of the nearest
    that was, by the number of pixels, and all other kinds at the slowest.

    Args:
        sizes: of frames that streams may have.
    """
    lines: dict[Hashable, LinearLatency] = {}
    for size in sizes:
        nearest = min(calibrations, key=lambda one: abs(one.size.pixels - size.pixels))
        share = size.pixels / nearest.size.pixels
        for kind, ns in nearest.medians_ns().items():
            moved = msgspec.structs.replace(kind, level=moved_level(kind.level, size))
            lines[moved] = _pass_line(moved, ns * share)
    for calibration in calibrations:
        lines |= {kind: _pass_line(kind, ns) for kind, ns in calibration.medians_ns().items()}
    slowest_ns = max(ns for each in calibrations for ns in each.medians_ns().values())
    model = LatencyModel(_line(slowest_ns), lines)
    for calibration in calibrations:
        for kind, durations_ns in calibration.durations_ns.items():
            for duration_ns in durations_ns:
                model.observe(kind, items=1, duration_ns=duration_ns)
    return model


class _PassTimes:
    """How long passes took, by their kind."""

    def __init__(self, pipeline: Pipeline[Any]) -> None:
        self._pipeline = pipeline
        self.durations_ns: defaultdict[PassKind, list[int]] = defaultdict(list)

    def measure(self, kind: PassKind, action: Callable[..., ResultT], *inputs: Any) -> ResultT:
        started_ns = now_ns()
        result = action(*inputs)
        self._pipeline.finish()
        ended_ns, completion = now_ns(), self._pipeline.submitted()
        if not isinstance(completion, RankCompletion):
            self.durations_ns[kind].append(max(1, ended_ns - started_ns))
            return result
        hop = 0
        while span_ns := completion.hop_ns(hop):
            self.durations_ns[msgspec.structs.replace(kind, hop=hop)].append(
                max(1, span_ns[1] - span_ns[0])
            )
            hop += 1
        return result

    def chunk_ns(self, shape: ChunkShape) -> float:
        """Time of a chunk of this shape, each of its passes at its median."""
        kinds = Backlog(placement_of(self._pipeline)).plan(shape).kinds
        return sum(median(self.durations_ns[kind]) for kind in kinds)


def _pass_line(kind: PassKind, alone_ns: float) -> LinearLatency:
    # streams are encoded and decoded one after the other: nothing is shared
    return _line(alone_ns, _BASE_SHARE if kind.stage is Stage.DENOISE else 0.0)


def _line(alone_ns: float, base_share: float = _BASE_SHARE) -> LinearLatency:
    return LinearLatency(base_ns=base_share * alone_ns, per_item_ns=(1 - base_share) * alone_ns)


def default_latency_model() -> LatencyModel:
    """The same estimate for any kind of pass."""
    return LatencyModel(_line(_DEFAULT_PASS_NS))


def calibrate(pipeline: Pipeline[Any], steady_chunks: int = STEADY_CHUNKS) -> Calibration:
    """Time a throw-away stream of grey frames with the pipeline's default parameters."""
    times = _PassTimes(pipeline)
    geometry = pipeline.geometry
    with closing(pipeline.open(pipeline.defaults)) as stream:
        number = 0
        while steady_chunks:
            shape = stream.shape
            steady_chunks -= shape.level == stream.steady_shape.level
            encode, denoise, decode = (PassKind(stage=stage, level=shape.level) for stage in Stage)
            frames_THW = np.full(
                (geometry.frames_of(number), *geometry.frame_shape), _GREY, dtype=np.uint8
            )
            number += 1
            chunk = times.measure(encode, stream.encode, frames_THW)
            for step in range(shape.steps):
                on_path = msgspec.structs.replace(
                    denoise, path=placement_of(pipeline).path_at(step)
                )
                times.measure(on_path, pipeline.denoise, [chunk])
            delivery = times.measure(decode, stream.decode, chunk, np.empty_like(frames_THW))
            if delivery is not None:
                delivery.finish()
        return Calibration(
            size=geometry.size,
            durations_ns=times.durations_ns,
            steady_chunk_ns=times.chunk_ns(stream.steady_shape),
        )
