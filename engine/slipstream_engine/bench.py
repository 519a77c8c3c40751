"""`slipstream-engine bench`: how fast a pipeline is, from frames on the host to frames on the host.

A stream of moving pictures that never makes the pipeline wait; frames cross to the device and back
inside the time. Nothing is measured until the cache is full and some chunks more were made.
"""

import argparse
import gc
import itertools
import resource
import statistics
import sys
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters

from slipstream_engine.artifacts import DEFAULT_WEIGHTS
from slipstream_engine.bench_report import Figures, Machine, Report, Spread, describe
from slipstream_engine.config import PRESETS, Compilation, EngineConfig
from slipstream_engine.diffusion import DiffusionPipeline, DiffusionStream, Parts
from slipstream_engine.flops import chunk_flop
from slipstream_engine.load import EMBEDDED, Wanted, configure, load_parts, usable_cores
from slipstream_engine.options import add_machine, count, size_px
from slipstream_engine.random_parts import random_parts
from slipstream_engine.real_parts import Sizes

SCENE_CHUNKS = 8
TTFF_TRIES = 3
FLAT_DEVIATION = 0.5  # of luma levels; a dead model's picture has less
DTYPES = ("float32", "bfloat16", "float16")


class Mode(StrEnum):
    """In which order steps run; the numbers are the same."""

    SEQUENTIAL = "sequential"  # a chunk's, one after the other
    BATCH = "batch"  # the stream batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration; `config.max_streams` streams run, taking turns.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure: both must be reached.

    Args:
        warm_up_chunks: after the cache is full.
        chunks: of each stream.
    """

    warm_up_chunks: int = 20
    chunks: int = 300
    seconds: float = 60.0


EFFORT = Effort()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """One chunk."""

    done_s: float
    took_s: float
    stages: StageTimes


class Scene:
    """An endless film of a few chunks: a gradient that wanders, noise on it."""

    def __init__(self, geometry: Geometry) -> None:
        rng = np.random.default_rng(0)
        rows, columns = geometry.frame_shape
        ramp = np.add.outer(np.arange(rows), np.arange(columns))
        frames = geometry.first_chunk_frames + SCENE_CHUNKS * geometry.chunk_frames
        self._geometry = geometry
        self._frames_THW: I420 = np.stack(
            [
                ((ramp + 5 * k) % 200 + rng.integers(0, 48, (rows, columns))).astype(np.uint8)
                for k in range(frames)
            ]
        )

    def chunk(self, number: int) -> I420:
        """The frames of a chunk, `[T, H * 3 // 2, W]`."""
        size = self._geometry.frames_of(number)
        first = self._geometry.first_chunk_frames
        start = 0 if number == 0 else first + (number - 1) % SCENE_CHUNKS * size
        return self._frames_THW[start : start + size]


def measure(
    case: Case, parts: Parts[Any], effort: Effort, machine: Machine, *, sizes: Sizes | None = None
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
    streams = [
        pipeline.open(parameters, batched=case.mode is Mode.BATCH)
        for _ in range(config.max_streams)
    ]
    warm_up = config.preset.cache.slots + effort.warm_up_chunks
    made = _make(streams, scene, warm_up, effort)
    return _figures(case, pipeline, made, ttff_s, machine, sizes)


def _figures(
    case: Case,
    pipeline: DiffusionPipeline[Any],
    made: list[_Made],
    ttff_s: float,
    machine: Machine,
    sizes: Sizes | None,
) -> Figures:
    config, preset = case.config, case.config.preset
    steps = case.steps or preset.schedule.steps
    flop = chunk_flop(config, sizes=sizes).total(steps)
    seconds = made[-1].done_s - made[0].done_s
    chunks_per_s = (len(made) - 1) / seconds
    p50, p95, p99 = np.percentile([1e3 * each.took_s for each in made], [50, 95, 99])
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
        chunk_ms=Spread(p50=float(p50), p95=float(p95), p99=float(p99)),
        encode_ms=statistics.median(each.stages.encode_ms for each in made),
        denoise_ms=statistics.median(each.stages.denoise_ms for each in made),
        decode_ms=statistics.median(each.stages.decode_ms for each in made),
        ttff_ms=1e3 * ttff_s,
        memory_bytes=_peak_bytes(config.device),
        flop=flop,
        flop_per_s=flop * chunks_per_s,
        matmul_share=flop * chunks_per_s / machine.matmul_flop_per_s,
    )


def _make(
    streams: list[DiffusionStream[Any]], scene: Scene, warm_up: int, effort: Effort
) -> list[_Made]:
    """Let all streams make chunks in turn; what warming up made is left out."""
    made: list[_Made] = []
    begin_s = 0.0
    for number in itertools.count():
        if number == warm_up:
            begin_s = time.perf_counter()
        for stream in streams:
            each, out_THW = _step(stream, scene.chunk(number))
            if number >= warm_up:
                made.append(each)
            elif number == warm_up - 1:
                _check_alive(out_THW)
        measured = number + 1 - warm_up
        if measured >= effort.chunks and time.perf_counter() - begin_s >= effort.seconds:
            return made
    raise AssertionError("counting does not end")


def _step(stream: DiffusionStream[Any], frames_THW: I420) -> tuple[_Made, I420]:
    out_THW = np.zeros_like(frames_THW)
    begin_s = time.perf_counter()
    stages = stream.step(frames_THW, out_THW)
    done_s = time.perf_counter()
    return _Made(done_s=done_s, took_s=done_s - begin_s, stages=stages), out_THW


def _ttff_s(pipeline: DiffusionPipeline[Any], scene: Scene, parameters: Parameters) -> float:
    """From asking for a stream to its first frames."""
    begin_s = time.perf_counter()
    each, _ = _step(pipeline.open(parameters), scene.chunk(0))
    return each.done_s - begin_s


def _check_alive(frames_THW: I420) -> None:
    luma_THW = frames_THW[:, : frames_THW.shape[1] * 2 // 3]
    if luma_THW.std() < FLAT_DEVIATION:
        raise RuntimeError(
            f"the model's pictures deviate by {luma_THW.std():.2f} levels, they must by "
            f"{FLAT_DEVIATION}: with numbers that died out or are none, times mean nothing"
        )


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


def add_bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The `bench` command of the engine's command line."""
    parser = commands.add_parser("bench", help="measure speed; several values make a grid")
    parser.add_argument("--preset", nargs="+", default=[EMBEDDED], choices=sorted(PRESETS))
    parser.add_argument("--size", nargs="+", type=size_px, default=[None], metavar="WxH")
    parser.add_argument("--codec", nargs="+", default=[None], help="as to serve")
    parser.add_argument("--steps", nargs="+", type=count, default=[None])
    parser.add_argument(
        "--mode", nargs="+", type=Mode, choices=list(Mode), default=[Mode.SEQUENTIAL]
    )
    parser.add_argument("--streams", nargs="+", type=count, default=[1], help="that take turns")
    parser.add_argument("--random-weights", action="store_true", help="where there are no others")
    parser.add_argument("--dtype", choices=DTYPES, help="where not the preset's own")
    parser.add_argument("--chunks", type=count, default=EFFORT.chunks, help="the fewest to measure")
    parser.add_argument("--seconds", type=float, default=EFFORT.seconds, help="the fewest, too")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep the figures")
    add_machine(parser)
    parser.set_defaults(run=run)


def cases_of(arguments: argparse.Namespace) -> list[Case]:
    """The grid that the command line asks for, the same parts side by side.

    Raises:
        ValueError: if one of them cannot be.
    """
    cases = []
    for preset, codec, size, steps, mode, streams in itertools.product(
        arguments.preset,
        arguments.codec,
        arguments.size,
        arguments.steps,
        arguments.mode,
        arguments.streams,
    ):
        wanted = Wanted(
            preset=preset,
            size_px=size,
            codec=codec,
            device=arguments.device,
            max_streams=streams,
            compilation=Compilation(arguments.compile),
        )
        config = configure(wanted)
        config = replace(config, dtype=arguments.dtype or config.dtype)
        case = Case(config=config, steps=steps, mode=mode, random_weights=arguments.random_weights)
        assert case.parameters is not None, "it raises where the steps cannot be"
        cases.append(case)
    return cases


def run(arguments: argparse.Namespace) -> int:
    """Measure as the command line asks; 1 and a reason on stderr where that is not possible."""
    torch.set_num_threads(arguments.threads or usable_cores())
    effort = Effort(chunks=arguments.chunks, seconds=arguments.seconds)
    weights = (arguments.weights or DEFAULT_WEIGHTS).expanduser()
    try:
        cases = cases_of(arguments)
        machines: dict[str, Machine] = {}
        figures = []
        for _, alike in itertools.groupby(cases, key=_parts_key):
            group = list(alike)
            first = group[0].config
            machine = machines.setdefault(
                first.dtype, describe(torch.device(first.device), first.dtype)
            )
            parts = random_parts(first) if group[0].random_weights else load_parts(first, weights)
            for case in group:
                figures.append(measure(case, parts, effort, machine))
                print(f"{len(figures)} of {len(cases)} measured", file=sys.stderr, flush=True)
            if parts.text_worker is not None:
                parts.text_worker.close()
    except (ValueError, OSError, RuntimeError) as error:
        print(f"the benchmark cannot run: {error}", file=sys.stderr)
        return 1
    report = Report(machines=list(machines.values()), figures=figures)
    print(report.table())
    if arguments.out is not None:
        arguments.out.write_bytes(report.json())
    return 0


def _parts_key(case: Case) -> tuple[str, str, str]:
    """Cases that agree in it run on the same loaded parts."""
    return case.config.preset.name, case.config.preset.codec, case.config.dtype
