"""`slipstream-engine bench --devices`: a model over several devices, beside one of them alone."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from slipstream_engine.bench.report import Spread
from slipstream_engine.bench.serving_runner import ServedPipeline, serve_clients
from slipstream_engine.bench.workload import BenchDuration, ChunkSample, Scene
from slipstream_engine.cli.options import compilation_of
from slipstream_engine.config import Preset
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.group.pipeline import GroupPipeline
from slipstream_engine.group.serve_rank import layouts_of
from slipstream_engine.group.workers import RankStartError
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.process_group import why_not_joined
from slipstream_engine.serving.stats import LoopStats
from slipstream_engine.weights.bundle import load_bundle
from slipstream_engine.weights.factory import available_cores, configure
from slipstream_engine.weights.group import group_of, start_group
from slipstream_engine.weights.plan_choice import AUTO, MeasuredDevice, choose_by, costs_of, plan_of
from slipstream_engine.weights.random import random_bundle
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.request import ModelRequest


class RankFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One rank.

    Args:
        busy_ms: of computing, a chunk.
        idle_share: of the time in which chunks were made (the bubble).
        sent_bytes: to other ranks, a chunk.
        weights_bytes, cache_bytes: of the transformer's blocks that it holds.
        peak_bytes: of its memory; of a CPU's rank, of its process.
    """

    device: str
    busy_ms: float
    idle_share: float
    sent_bytes: float
    weights_bytes: int
    cache_bytes: int
    peak_bytes: int


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A group, served.

    Args:
        fps: frames of all streams a second.
        chunk_ms: from a chunk's frames on the host to its generated frames there.
        one_device_fps, one_device_ms: the same of the first device alone; the time is a median.
        scaling: the rate, as a multiple of one device's.
        leader_ms: CPU time of the loop's thread, a chunk.
    """

    preset: str
    steps: int
    streams: int
    plan: PipelinePlan
    chunks: int
    fps: float
    chunk_ms: Spread
    one_device_fps: float
    one_device_ms: float
    scaling: float
    leader_ms: float
    ranks: list[RankFigures]

    def table(self) -> str:
        """For people."""
        lines = [
            f"{self.preset}, {self.steps} steps, {self.streams} streams, {self.plan.form}: "
            f"{self.fps:.1f} fps, chunks in {self.chunk_ms.p50:.0f} ms "
            f"(p95 {self.chunk_ms.p95:.0f})",
            f"one device: {self.one_device_fps:.1f} fps, {self.one_device_ms:.0f} ms; "
            f"scaling {self.scaling:.2f}, leader {self.leader_ms:.2f} ms a chunk",
            f"{'rank':<12}{'busy ms':>9}{'idle':>7}{'sent kB':>9}{'weights MB':>12}{'cache MB':>10}"
            f"{'peak MB':>9}",
        ]
        for number, rank in enumerate(self.ranks):
            lines.append(
                f"{number} {rank.device:<10}{rank.busy_ms:>9.1f}{rank.idle_share:>7.0%}"
                f"{rank.sent_bytes / 1e3:>9.1f}{rank.weights_bytes / 1e6:>12.1f}"
                f"{rank.cache_bytes / 1e6:>10.1f}{rank.peak_bytes / 1e6:>9.0f}"
            )
        return "\n".join(lines)


def run_ranks(arguments: argparse.Namespace, duration: BenchDuration) -> int:
    """Measure one group; 1 and a reason on standard error where that is not possible."""
    try:
        figures = measure_group(arguments, duration)
    except (ValueError, OSError, RuntimeError, RankStartError) as error:
        print(f"the benchmark cannot run: {error}", file=sys.stderr)
        return 1
    print(figures.table())
    if arguments.out is not None:
        arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return 0


def measure_group(arguments: argparse.Namespace, duration: BenchDuration) -> GroupFigures:
    """Serve streams over one device, then over all.

    Raises:
        ValueError: if the model cannot be shared so, or a grid of cases is asked for.
        OSError: if weights or a plan cannot be read.
        RankStartError: if a rank does not come up.
    """
    request = _request(arguments)
    devices = group_of(request)
    if reason := why_not_joined(devices):
        raise ValueError(reason)
    config = configure(replace(request, device=devices[0], devices=()))
    if arguments.dtype:
        config = replace(config, dtype=arguments.dtype)
    preset = config.preset
    steps = arguments.steps[0] or preset.schedule.steps
    config = replace(config, max_steps=arguments.max_steps or max(steps, preset.schedule.steps))
    request = replace(request, max_steps=config.max_steps)
    weights = (request.weights or DEFAULT_WEIGHTS).expanduser()
    is_random: bool = arguments.random_weights
    bundle = random_bundle(config) if is_random else load_bundle(config, weights)
    with closing(DiffusionPipeline(config, bundle)) as alone:
        plan = _plan(request, preset, devices, alone)
        alone_samples, _ = _serve(alone, preset.timesteps(steps), duration)
    del alone, bundle
    threads = request.threads or max(1, available_cores() // len(devices))
    with closing(
        start_group(
            config,
            plan,
            devices,
            weights=Path(weights),
            random_weights=is_random,
            threads=threads,
            note="",
        )
    ) as group:
        samples, stats = _serve(group, preset.timesteps(steps), duration)
        return _figures(plan, devices, group, samples, alone_samples, stats, steps)


def _request(arguments: argparse.Namespace) -> ModelRequest:
    for name in ("preset", "size", "codec", "steps", "streams"):
        if len(getattr(arguments, name)) > 1:
            raise ValueError(f"--{name} has several values, with --devices name one")
    return ModelRequest(
        preset=arguments.preset[0],
        size_px=arguments.size[0],
        codec=arguments.codec[0],
        device=arguments.device,
        devices=arguments.devices,
        plan=arguments.plan,
        weights=arguments.weights,
        max_streams=arguments.streams[0],
        threads=arguments.threads,
        compilation=compilation_of(arguments),
        checkpoint=arguments.checkpoint,
    )


def _plan(
    request: ModelRequest,
    preset: Preset,
    devices: Sequence[str],
    alone: DiffusionPipeline[Any],
) -> PipelinePlan:
    if request.plan != AUTO:
        return plan_of(request.plan, preset, ranks=len(devices), max_steps=request.max_steps)
    first = MeasuredDevice(costs=costs_of(alone), free_bytes=None, layouts=layouts_of(alone))
    chosen = choose_by(first, request, preset, devices)
    print(chosen.reason, file=sys.stderr)
    return chosen.plan


def _serve(
    pipeline: ServedPipeline,
    step_list: tuple[int, ...],
    duration: BenchDuration,
) -> tuple[list[ChunkSample], LoopStats]:
    parameters = msgspec.structs.replace(pipeline.defaults, denoising_step_list=step_list)
    pipeline.warm_up()
    warm_chunks = duration.warm_up_chunks + 2
    return serve_clients(pipeline, Scene(pipeline.geometry), parameters, warm_chunks, duration)


def _figures(
    plan: PipelinePlan,
    devices: Sequence[str],
    group: GroupPipeline,
    samples: list[ChunkSample],
    alone_samples: list[ChunkSample],
    stats: LoopStats,
    steps: int,
) -> GroupFigures:
    by_rank = group.leader.passes.by_rank
    seconds = samples[-1].done_s - samples[0].done_s
    chunk_s = seconds / (len(samples) - 1)
    frames = group.geometry.chunk_frames
    one_s = (alone_samples[-1].done_s - alone_samples[0].done_s) / (len(alone_samples) - 1)
    took_ms = [1e3 * sample.took_s for sample in samples]
    p50, p95, p99 = np.percentile(took_ms, [50, 95, 99])
    chunks = max(group.decoded_chunks, 1)
    ranks = [
        RankFigures(
            device=device,
            busy_ms=time.busy_ns / 1e6 / chunks,
            idle_share=max(0.0, 1 - time.busy_ns / 1e9 / chunks / chunk_s),
            sent_bytes=time.sent_bytes / chunks,
            weights_bytes=memory.weights_bytes,
            cache_bytes=memory.cache_bytes,
            peak_bytes=memory.peak_bytes,
        )
        for device, time, memory in zip(devices, by_rank, group.leader.memory(), strict=True)
    ]
    return GroupFigures(
        preset=group.preset,
        steps=steps,
        streams=group.max_streams,
        plan=plan,
        chunks=len(samples),
        fps=frames / chunk_s,
        chunk_ms=Spread(p50=float(p50), p95=float(p95), p99=float(p99)),
        one_device_fps=frames / one_s,
        one_device_ms=float(np.median([1e3 * sample.took_s for sample in alone_samples])),
        scaling=one_s / chunk_s,
        leader_ms=(stats.overhead_ns + stats.pass_cpu_ns) / 1e6 / chunks,
        ranks=ranks,
    )
