"""`slipstream-engine bench`: its arguments, and the grid of cases they name."""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from slipstream_engine.bench.ranks import run_ranks
from slipstream_engine.bench.report import Figures, Machine, Report, describe_machine
from slipstream_engine.bench.runner import Case, Mode, measure_case
from slipstream_engine.bench.workload import BenchDuration
from slipstream_engine.cli.options import add_device_options, compilation_of, count, size_px
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.presets import DEFAULT_PRESET, PRESETS
from slipstream_engine.weights.bundle import load_bundle
from slipstream_engine.weights.factory import available_cores, configure
from slipstream_engine.weights.random import random_bundle
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS
from slipstream_engine.weights.request import ModelRequest

DTYPES = ("float32", "bfloat16", "float16")
DEFAULT_DURATION = BenchDuration()


def add_bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser(
        "bench", help="measure speed; several values of an option make a grid"
    )
    parser.add_argument(
        "--preset", nargs="+", default=[DEFAULT_PRESET], choices=sorted(PRESETS), help="models"
    )
    parser.add_argument(
        "--size",
        nargs="+",
        type=size_px,
        default=[None],
        metavar="WxH",
        help="of a frame (default: the preset's)",
    )
    parser.add_argument(
        "--codec", nargs="+", default=[None], help="wan, taehv, or encoder and decoder: wan+taehv"
    )
    parser.add_argument(
        "--steps", nargs="+", type=count, default=[None], help="denoising steps of a chunk"
    )
    parser.add_argument(
        "--mode",
        nargs="+",
        type=Mode,
        choices=list(Mode),
        default=[Mode.SEQUENTIAL],
        help="in which order steps run",
    )
    parser.add_argument("--streams", nargs="+", type=count, default=[1], help="open at once")
    parser.add_argument(
        "--random-weights", action="store_true", help="use random weights in place of pulled ones"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="of weights (default: the preset's)")
    parser.add_argument(
        "--chunks", type=count, default=DEFAULT_DURATION.chunks, help="to measure at least"
    )
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_DURATION.seconds, help="to measure at least"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="file for the figures")
    add_device_options(parser)
    parser.set_defaults(run=run_bench)


def cases_of(arguments: argparse.Namespace) -> list[Case]:
    """The grid of cases that the arguments name; cases of the same model stand together.

    Raises:
        ValueError: if one of them is not possible.
    """
    if arguments.checkpoint is not None and arguments.random_weights:
        raise ValueError("--checkpoint and --random-weights are both given, choose one of them")
    cases = []
    for preset, codec, size, steps, mode, streams in itertools.product(
        arguments.preset,
        arguments.codec,
        arguments.size,
        arguments.steps,
        arguments.mode,
        arguments.streams,
    ):
        request = ModelRequest(
            preset=preset,
            size_px=size,
            codec=codec,
            device=arguments.device,
            max_streams=streams,
            compilation=compilation_of(arguments),
            checkpoint=arguments.checkpoint,
        )
        config = configure(request)
        config = replace(
            config,
            dtype=arguments.dtype or config.dtype,
            max_steps=arguments.max_steps or max(steps or 0, config.preset.schedule.steps),
        )
        case = Case(config=config, steps=steps, mode=mode, random_weights=arguments.random_weights)
        assert case.parameters is not None, "the property raises if the steps are not possible"
        cases.append(case)
    return cases


def run_bench(arguments: argparse.Namespace) -> int:
    """Measure every case; 1 and a reason on standard error where that is not possible."""
    torch.set_num_threads(arguments.threads or available_cores())
    duration = BenchDuration(chunks=arguments.chunks, seconds=arguments.seconds)
    if arguments.devices:
        return run_ranks(arguments, duration)
    weights = (arguments.weights or DEFAULT_WEIGHTS).expanduser()
    try:
        report = measure_all(cases_of(arguments), duration, weights)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"the benchmark cannot run: {error}", file=sys.stderr)
        return 1
    print(report.table())
    if arguments.out is not None:
        arguments.out.write_bytes(report.json())
    return 0


def measure_all(cases: Sequence[Case], duration: BenchDuration, weights: Path) -> Report:
    """Measure one case after the other; one model is in memory at a time.

    Raises:
        ValueError, RuntimeError: see `measure_case`.
        OSError: if weights cannot be read.
    """
    machines: dict[str, Machine] = {}
    figures: list[Figures] = []
    for _, cases_of_model in itertools.groupby(cases, key=_model_key):
        group = list(cases_of_model)
        config = group[0].config
        if config.dtype not in machines:
            machines[config.dtype] = describe_machine(torch.device(config.device), config.dtype)
        with _open_bundle(group[0], weights) as bundle:
            for case in group:
                figures.append(measure_case(case, bundle, duration, machines[config.dtype]))
                print(f"{len(figures)} of {len(cases)} measured", file=sys.stderr, flush=True)
        del bundle  # before the next one is loaded
    return Report(machines=list(machines.values()), figures=figures)


@contextmanager
def _open_bundle(case: Case, weights: Path) -> Iterator[ModelBundle[Any]]:
    config = case.config
    bundle = random_bundle(config) if case.random_weights else load_bundle(config, weights)
    try:
        yield bundle
    finally:
        if bundle.text_worker is not None:
            bundle.text_worker.close()


def _model_key(case: Case) -> tuple[str, str, str]:
    """Cases with the same key run on the same loaded model."""
    return case.config.preset.name, case.config.preset.codec, case.config.dtype
