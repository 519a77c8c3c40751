"""`slipstream-engine bench`: its arguments, and the grid of cases they ask for."""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from slipstream_engine.bench.report import Figures, Machine, Report, describe_machine
from slipstream_engine.bench.runner import Case, Mode, measure_case
from slipstream_engine.bench.workload import BenchDuration
from slipstream_engine.cli.options import add_machine, count, size_px
from slipstream_engine.config import DEFAULT_PRESET, PRESETS, Compilation
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.weights.factory import (
    ModelRequest,
    configure,
    load_bundle,
    usable_cores,
)
from slipstream_engine.weights.random import random_bundle
from slipstream_engine.weights.registry import DEFAULT_WEIGHTS

DTYPES = ("float32", "bfloat16", "float16")
EFFORT = BenchDuration()


def add_bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The `bench` command of the engine's command line."""
    parser = commands.add_parser("bench", help="measure speed; several values make a grid")
    parser.add_argument("--preset", nargs="+", default=[DEFAULT_PRESET], choices=sorted(PRESETS))
    parser.add_argument("--size", nargs="+", type=size_px, default=[None], metavar="WxH")
    parser.add_argument("--codec", nargs="+", default=[None], help="as to serve")
    parser.add_argument("--steps", nargs="+", type=count, default=[None])
    parser.add_argument(
        "--mode", nargs="+", type=Mode, choices=list(Mode), default=[Mode.SEQUENTIAL]
    )
    parser.add_argument("--streams", nargs="+", type=count, default=[1], help="at once")
    parser.add_argument("--random-weights", action="store_true", help="where there are no others")
    parser.add_argument("--dtype", choices=DTYPES, help="where not the preset's own")
    parser.add_argument("--chunks", type=count, default=EFFORT.chunks, help="the fewest to measure")
    parser.add_argument("--seconds", type=float, default=EFFORT.seconds, help="the fewest, too")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep the figures")
    add_machine(parser)
    parser.set_defaults(run=run_bench)


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
        wanted = ModelRequest(
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


def run_bench(arguments: argparse.Namespace) -> int:
    """Measure as the command line asks; 1 and a reason on stderr where that is not possible."""
    torch.set_num_threads(arguments.threads or usable_cores())
    effort = BenchDuration(chunks=arguments.chunks, seconds=arguments.seconds)
    weights = (arguments.weights or DEFAULT_WEIGHTS).expanduser()
    try:
        report = measure_all(cases_of(arguments), effort, weights)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"the benchmark cannot run: {error}", file=sys.stderr)
        return 1
    print(report.table())
    if arguments.out is not None:
        arguments.out.write_bytes(report.json())
    return 0


def measure_all(cases: Sequence[Case], effort: BenchDuration, weights: Path) -> Report:
    """Measure one case after the other; one set of parts is in memory at a time.

    Raises:
        ValueError, RuntimeError: see `measure_case`.
        OSError: if weights cannot be read.
    """
    machines: dict[str, Machine] = {}
    figures: list[Figures] = []
    for _, alike in itertools.groupby(cases, key=_parts_key):
        group = list(alike)
        config = group[0].config
        if config.dtype not in machines:
            machines[config.dtype] = describe_machine(torch.device(config.device), config.dtype)
        with _parts(group[0], weights) as parts:
            for case in group:
                figures.append(measure_case(case, parts, effort, machines[config.dtype]))
                print(f"{len(figures)} of {len(cases)} measured", file=sys.stderr, flush=True)
        del parts  # before the next are made
    return Report(machines=list(machines.values()), figures=figures)


@contextmanager
def _parts(case: Case, weights: Path) -> Iterator[ModelBundle[Any]]:
    config = case.config
    parts = random_bundle(config) if case.random_weights else load_bundle(config, weights)
    try:
        yield parts
    finally:
        if parts.text_worker is not None:
            parts.text_worker.close()


def _parts_key(case: Case) -> tuple[str, str, str]:
    """Cases that agree in it run on the same loaded parts."""
    return case.config.preset.name, case.config.preset.codec, case.config.dtype
