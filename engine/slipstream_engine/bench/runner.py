"""How fast a pipeline is, from frames on the host to frames on the host.

A stream of moving pictures that never makes the pipeline wait; frames cross to the device and back
inside the time. Nothing is measured until the cache is full and some chunks more were made.
"""

import gc
import itertools
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.parameters import Parameters

from slipstream_engine.bench.flops import chunk_flop
from slipstream_engine.bench.report import Figures, Machine, Spread, StreamFigures
from slipstream_engine.bench.serving_runner import serve_viewers
from slipstream_engine.bench.workload import BenchDuration, ChunkSample, Scene, check_not_flat
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.weights.wan import ModelSizes

TTFF_TRIES = 3


class Mode(StrEnum):
    """In which order steps run; the numbers are the same.

    In the first two streams take turns, a chunk each; served, they share passes where that pays.
    """

    SEQUENTIAL = "sequential"  # a chunk's, one after the other
    BATCH = "batch"  # the stream batch
    SERVED = "served"  # as the engine's loop decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration; `config.max_streams` streams run.

    Args:
        steps: None for the preset's own.
    """

    config: EngineConfig
    steps: int | None
    mode: Mode
    random_weights: bool

    @property
    def parameters(self) -> Parameters:
        """What its streams are opened with.

        Raises:
            ValueError: if the model has no so many steps.
        """
        schedule = self.config.preset.schedule
        steps, most = self.steps or schedule.steps, len(schedule.step_list)
        if steps > most:
            name = self.config.preset.name
            raise ValueError(f"steps is {steps}, preset {name} takes 1 to {most}")
        return Parameters(denoising_step_list=schedule.step_list[:steps])


def measure_case(
    case: Case,
    parts: ModelBundle[Any],
    effort: BenchDuration,
    machine: Machine,
    *,
    sizes: ModelSizes | None = None,
) -> Figures:
    """Measure one configuration.

    Args:
        sizes: of codecs, where not the published ones.

    Raises:
        ValueError: if the model cannot do what `case` asks.
        RuntimeError: if the model's output is dead, so that its times would mean nothing.
    """
    config, parameters = case.config, case.parameters
    pipeline = DiffusionPipeline(config, parts)
    scene = Scene(pipeline.geometry)
    _reset_peak(config.device)
    pipeline.warm_up()
    ttff_s = statistics.median(_ttff_s(pipeline, scene, parameters) for _ in range(TTFF_TRIES))
    warm_up = config.preset.cache.slots + effort.warm_up_chunks
    if case.mode is Mode.SERVED:
        made, overhead = serve_viewers(pipeline, scene, parameters, warm_up, effort)
    else:
        batched = case.mode is Mode.BATCH
        streams = [pipeline.open(parameters, batched=batched) for _ in range(config.max_streams)]
        made, overhead = _make(streams, scene, warm_up, effort), None
    return _figures(case, pipeline, made, ttff_s, overhead, machine, sizes)


def _figures(
    case: Case,
    pipeline: DiffusionPipeline[Any],
    made: list[ChunkSample],
    ttff_s: float,
    overhead: float | None,
    machine: Machine,
    sizes: ModelSizes | None,
) -> Figures:
    config, preset = case.config, case.config.preset
    steps = case.steps or preset.schedule.steps
    flop = chunk_flop(config, sizes=sizes).total(steps)
    seconds = made[-1].done_s - made[0].done_s
    chunks_per_s = (len(made) - 1) / seconds
    return Figures(
        preset=preset.name,
        width_px=preset.width_px,
        height_px=preset.height_px,
        codec=preset.codec,
        steps=steps,
        mode=case.mode,
        streams=config.max_streams,
        random_weights=case.random_weights,
        note=pipeline.note,
        chunks=len(made),
        seconds=seconds,
        fps=chunks_per_s * pipeline.geometry.chunk_frames,
        chunk_ms=_spread(made),
        per_stream=[
            StreamFigures(fps=_fps(own, pipeline.geometry), chunk_ms=_spread(own))
            for own in ([each for each in made if each.stream == n] for n in _streams(made))
        ],
        encode_ms=statistics.median(each.stages.encode_ms for each in made),
        denoise_ms=statistics.median(each.stages.denoise_ms for each in made),
        decode_ms=statistics.median(each.stages.decode_ms for each in made),
        overhead=overhead,
        ttff_ms=1e3 * ttff_s,
        memory_bytes=_peak_bytes(config.device),
        flop=flop,
        flop_per_s=flop * chunks_per_s,
        matmul_share=flop * chunks_per_s / machine.matmul_flop_per_s,
    )


def _streams(made: list[ChunkSample]) -> list[int]:
    return sorted({each.stream for each in made})


def _spread(made: list[ChunkSample]) -> Spread:
    p50, p95, p99 = np.percentile([1e3 * each.took_s for each in made], [50, 95, 99])
    return Spread(p50=float(p50), p95=float(p95), p99=float(p99))


def _fps(made: list[ChunkSample], geometry: Geometry) -> float:
    """Frames between the first chunk done and the last; 0 of fewer than two."""
    seconds = made[-1].done_s - made[0].done_s
    return (len(made) - 1) * geometry.chunk_frames / seconds if seconds else 0.0


def _make(
    streams: list[DiffusionStream[Any]], scene: Scene, warm_up: int, effort: BenchDuration
) -> list[ChunkSample]:
    """Let all streams make chunks in turn; what warming up made is left out."""
    made: list[ChunkSample] = []
    begin_s = 0.0
    for number in itertools.count():
        if number == warm_up:
            begin_s = time.perf_counter()
        for index, stream in enumerate(streams):
            each, out_THW = _step(stream, scene.chunk(number), index)
            if number >= warm_up:
                made.append(each)
            elif number == warm_up - 1:
                check_not_flat(out_THW)
        measured = number + 1 - warm_up
        if measured >= effort.chunks and time.perf_counter() - begin_s >= effort.seconds:
            return made
    raise AssertionError("counting does not end")


def _step(
    stream: DiffusionStream[Any], frames_THW: I420, index: int = 0
) -> tuple[ChunkSample, I420]:
    out_THW = np.zeros_like(frames_THW)
    begin_s = time.perf_counter()
    stages = stream.step(frames_THW, out_THW)
    done_s = time.perf_counter()
    made = ChunkSample(stream=index, done_s=done_s, took_s=done_s - begin_s, stages=stages)
    return made, out_THW


def _ttff_s(pipeline: DiffusionPipeline[Any], scene: Scene, parameters: Parameters) -> float:
    """From asking for a stream to its first frames."""
    begin_s = time.perf_counter()
    each, _ = _step(pipeline.open(parameters), scene.chunk(0))
    return each.done_s - begin_s


def _reset_peak(device: str) -> None:
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_bytes(device: str) -> int:
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident if sys.platform == "darwin" else resident * 1024
