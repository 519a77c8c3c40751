"""Measures how fast a pipeline is, from frames on the host to frames on the host.

Each stream has its next chunk of moving frames ready at all times; the times include the transfers
to the device and back. Measuring begins when the cache is full and some more chunks are done.
"""

import gc
import itertools
import statistics
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
from slipstream_engine.bench.serving_runner import serve_clients
from slipstream_engine.bench.workload import BenchDuration, ChunkSample, Scene, check_not_flat
from slipstream_engine.config import EngineConfig
from slipstream_engine.device.memory import peak_bytes
from slipstream_engine.diffusion.pipeline import DiffusionPipeline, ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.weights.wan import ModelSizes

TTFF_TRIES = 3


class Mode(StrEnum):
    """In which order steps run; the generated frames are the same.

    In the first two, streams alternate chunk by chunk; served, they share passes as the scheduler
    decides.
    """

    SEQUENTIAL = "sequential"  # the steps of a chunk one after the other
    BATCH = "batch"  # the stream batch
    SERVED = "served"  # under the engine's loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration to measure, with `config.max_streams` streams.

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
            ValueError: if the model does not have that many steps.
        """
        preset = self.config.preset
        return Parameters(denoising_step_list=preset.timesteps(self.steps or preset.schedule.steps))


def measure_case(
    case: Case,
    bundle: ModelBundle[Any],
    duration: BenchDuration,
    machine: Machine,
    *,
    sizes: ModelSizes | None = None,
) -> Figures:
    """Measure one configuration.

    Args:
        sizes: of the codecs; None for the published ones.

    Raises:
        ValueError: if the case is not possible for the model.
        RuntimeError: if the model's frames are flat, so that its times would mean nothing.
    """
    config, parameters = case.config, case.parameters
    pipeline = DiffusionPipeline(config, bundle)
    scene = Scene(pipeline.geometry)
    _reset_peak_memory(config.device)
    pipeline.warm_up()
    ttff_s = statistics.median(_ttff_s(pipeline, scene, parameters) for _ in range(TTFF_TRIES))
    warm_up_chunks = config.preset.cache.slots + duration.warm_up_chunks
    if case.mode is Mode.SERVED:
        samples, stats = serve_clients(pipeline, scene, parameters, warm_up_chunks, duration)
        overhead = stats.overhead_share
    else:
        batched = case.mode is Mode.BATCH
        streams = [pipeline.open(parameters, batched=batched) for _ in range(config.max_streams)]
        samples, overhead = _run_streams(streams, scene, warm_up_chunks, duration), None
    return _figures(case, pipeline, samples, ttff_s, overhead, machine, sizes)


def _figures(
    case: Case,
    pipeline: DiffusionPipeline[Any],
    samples: list[ChunkSample],
    ttff_s: float,
    overhead: float | None,
    machine: Machine,
    sizes: ModelSizes | None,
) -> Figures:
    config, preset = case.config, case.config.preset
    steps = case.steps or preset.schedule.steps
    flop = chunk_flop(config, sizes=sizes).total(steps)
    seconds = samples[-1].done_s - samples[0].done_s
    chunks_per_s = (len(samples) - 1) / seconds
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
        chunks=len(samples),
        seconds=seconds,
        fps=chunks_per_s * pipeline.geometry.chunk_frames,
        chunk_ms=_spread(samples),
        per_stream=[
            StreamFigures(fps=_fps(own, pipeline.geometry), chunk_ms=_spread(own))
            for own in (
                [sample for sample in samples if sample.stream == n] for n in _streams(samples)
            )
        ],
        encode_ms=statistics.median(sample.stages.encode_ms for sample in samples),
        denoise_ms=statistics.median(sample.stages.denoise_ms for sample in samples),
        decode_ms=statistics.median(sample.stages.decode_ms for sample in samples),
        overhead=overhead,
        ttff_ms=1e3 * ttff_s,
        memory_bytes=peak_bytes(torch.device(config.device)),
        flop=flop,
        flop_per_s=flop * chunks_per_s,
        matmul_share=flop * chunks_per_s / machine.matmul_flop_per_s,
    )


def _streams(samples: list[ChunkSample]) -> list[int]:
    return sorted({sample.stream for sample in samples})


def _spread(samples: list[ChunkSample]) -> Spread:
    p50, p95, p99 = np.percentile([1e3 * sample.took_s for sample in samples], [50, 95, 99])
    return Spread(p50=float(p50), p95=float(p95), p99=float(p99))


def _fps(samples: list[ChunkSample], geometry: Geometry) -> float:
    """Frames between the first chunk done and the last; 0 of fewer than two."""
    seconds = samples[-1].done_s - samples[0].done_s
    return (len(samples) - 1) * geometry.chunk_frames / seconds if seconds else 0.0


def _run_streams(
    streams: list[DiffusionStream[Any]], scene: Scene, warm_up_chunks: int, duration: BenchDuration
) -> list[ChunkSample]:
    """Run all streams in turn, chunk by chunk; samples begin after the warm-up."""
    samples: list[ChunkSample] = []
    begin_s = 0.0
    for number in itertools.count():
        if number == warm_up_chunks:
            begin_s = time.perf_counter()
        for index, stream in enumerate(streams):
            sample, out_THW = _step(stream, scene.chunk(number), index)
            if number >= warm_up_chunks:
                samples.append(sample)
            elif number == warm_up_chunks - 1:
                check_not_flat(out_THW)
        measured = number + 1 - warm_up_chunks
        if measured >= duration.chunks and time.perf_counter() - begin_s >= duration.seconds:
            return samples
    raise AssertionError("counting does not end")


def _step(
    stream: DiffusionStream[Any], frames_THW: I420, index: int = 0
) -> tuple[ChunkSample, I420]:
    out_THW = np.zeros_like(frames_THW)
    begin_s = time.perf_counter()
    stages = stream.step(frames_THW, out_THW)
    done_s = time.perf_counter()
    sample = ChunkSample(stream=index, done_s=done_s, took_s=done_s - begin_s, stages=stages)
    return sample, out_THW


def _ttff_s(pipeline: DiffusionPipeline[Any], scene: Scene, parameters: Parameters) -> float:
    """Time from opening a stream to its first frames."""
    begin_s = time.perf_counter()
    sample, _ = _step(pipeline.open(parameters), scene.chunk(0))
    return sample.done_s - begin_s


def _reset_peak_memory(device: str) -> None:
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
