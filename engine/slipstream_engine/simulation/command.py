"""The command `simulate`: the scheduler on devices that are not here, beside other policies."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from slipstream_protocol.clock import NS_PER_S

from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.simulation.rank_report import plot_ranks, rank_table, simulate_device
from slipstream_engine.simulation.rank_scaling import RankResult
from slipstream_engine.simulation.scenario import (
    DEVICES,
    POLICIES,
    SLOW_CASE,
    Scenario,
    simulate,
    suite,
)
from slipstream_engine.simulation.trace import SLICES, Summary, summarise


def table(summaries: Sequence[Summary]) -> str:
    """Two tables: each policy's figures, and its mean B through the simulated time."""
    head = f"{'policy':<13}{'missed':>9}{'dropped':>9}{'age p50':>9}{'p95':>7}{'p99 ms':>8}{'B':>6}"
    rows = [
        f"{item.name:<13}{item.missed:>9.2%}{item.dropped:>9.2%}{item.age_p50_ms:>9.0f}"
        f"{item.age_p95_ms:>7.0f}{item.age_p99_ms:>8.0f}{item.mean_batch:>6.2f}"
        for item in summaries
    ]
    slices = "".join(f"{100 * (index + 1) // SLICES:>6}%" for index in range(SLICES))
    over_time = [
        f"{item.name:<13}" + "".join(f"{batch:>7.2f}" for batch in item.batch_by_slice)
        for item in summaries
    ]
    return "\n".join([head, *rows, "", f"{'B, time to':<13}{slices}", *over_time])


def plot(summaries: Sequence[Summary], path: Path) -> None:
    """B and the misses over time, as a picture.

    Raises:
        RuntimeError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError(
            "matplotlib is not installed, it draws the picture; pip install 'slipstream[plot]'"
        ) from error
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    at = [100 * (index + 0.5) / SLICES for index in range(SLICES)]
    for item in summaries:
        upper.plot(at, item.batch_by_slice, marker="o", label=item.name)
        lower.plot(at, [100 * share for share in item.missed_by_slice], marker="o")
    upper.set_ylabel("mean B of a denoising pass")
    upper.legend()
    lower.set_ylabel("chunks missed, %")
    lower.set_xlabel("simulated time, %")
    figure.savefig(path, dpi=110)


def run_suite(seconds: float, picture: Path | None) -> None:
    """All cases of the suite as one table for people, and B through the slow case as a picture."""
    print(
        "| case | policy | missed | dropped | age ms p50 / p95 / p99 | mean B | decisions / min |"
    )
    print("|---|---|---|---|---|---|---|")
    for case, scenario in suite(seconds=seconds).items():
        summaries = [_compare(name, scenario) for name in POLICIES]
        for item in summaries:
            print(
                f"| {case} | {item.name} | {item.missed:.2%} | {item.dropped:.2%} | "
                f"{item.age_p50_ms:.0f} / {item.age_p95_ms:.0f} / {item.age_p99_ms:.0f} | "
                f"{item.mean_batch:.2f} | {item.decisions_per_minute / 1e6:.1f} million |",
                flush=True,
            )
        if case == SLOW_CASE and picture:
            plot(summaries, picture)


def run_scaling(
    names: Sequence[str], most_ranks: int, seconds: float, picture: Path | None
) -> None:
    """One stream over 1, 2, ... devices as tables for people, and as a picture."""
    devices: list[tuple[str, list[RankResult]]] = []
    started_s = time.process_time()
    for name in names:
        results = simulate_device(name, most_ranks=most_ranks, seconds=seconds)
        devices.append((name, results))
        print(rank_table(name, results), end="\n\n", flush=True)
    cpu_ms = (time.process_time() - started_s) * 1000
    chunks = sum(
        result.fps * seconds / CHUNK_FRAMES for _, results in devices for result in results
    )
    print(f"{cpu_ms / chunks:.2f} ms of CPU for a chunk, planning and simulation included")
    if picture:
        plot_ranks(devices, picture)


def run_simulate(arguments: argparse.Namespace) -> int:
    """Simulate all policies and print their figures."""
    try:
        if arguments.ranks:
            names = tuple(DEVICES) if arguments.suite else (arguments.device,)
            run_scaling(names, arguments.ranks, arguments.seconds, arguments.plot)
            return 0
        if arguments.suite:
            run_suite(arguments.seconds, arguments.plot)
            return 0
        scenario = Scenario(
            device=DEVICES[arguments.device],
            gpus=arguments.gpus,
            streams=arguments.streams,
            steps=arguments.steps,
            load=arguments.load,
            noise=arguments.noise,
            jitter_ms=arguments.jitter_ms,
            target_ms=arguments.target_ms,
            slow_down=arguments.slow_down,
            seconds=arguments.seconds,
            seed=arguments.seed,
            waits_for_credit=arguments.waits_for_credit,
        )
        print(
            f"{arguments.device} x {scenario.gpus}, {scenario.streams} streams of "
            f"{scenario.fps:.1f} fps, {scenario.steps} steps: load {scenario.load:.0%}, noise "
            f"{scenario.noise:.0%}, target {scenario.target_ms:.0f} ms, slow-down "
            f"{scenario.slow_down:g}, {scenario.seconds:.0f} s, seed {scenario.seed}\n"
        )
        summaries = [_compare(name, scenario) for name in POLICIES]
        print(table(summaries))
        ours = summaries[0]
        print(f"\n{ours.name}: {ours.decisions_per_minute:,.0f} decisions in a minute of CPU")
        if arguments.plot:
            plot(summaries, arguments.plot)
            print(f"picture: {arguments.plot}")
    except (ValueError, RuntimeError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    return 0


def _compare(name: str, scenario: Scenario) -> Summary:
    """One policy's figures, and how long they took, the simulation included."""
    started_s = time.process_time()
    trace = simulate(scenario, POLICIES[name])
    cpu_s = time.process_time() - started_s
    return summarise(name, trace, until_ns=round(scenario.seconds * NS_PER_S), cpu_s=cpu_s)


def add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("simulate", help="compare schedulers on simulated devices")
    device = "h100-1.3b-512"
    default = Scenario(device=DEVICES[device])
    parser.add_argument(
        "--device", choices=tuple(DEVICES), default=device, help="simulated device and model"
    )
    parser.add_argument("--gpus", type=int, default=default.gpus, help="devices of that kind")
    parser.add_argument(
        "--ranks",
        type=int,
        help="one stream over up to so many GPUs, 1 to 4 steps, beside the bound and the paper; "
        "only with device or suite, seconds and plot",
    )
    parser.add_argument("--streams", type=int, default=default.streams, help="open at once")
    parser.add_argument("--steps", type=int, default=default.steps, help="denoising steps")
    parser.add_argument("--load", type=float, default=default.load, help="1 fills the stream batch")
    parser.add_argument("--noise", type=float, default=default.noise, help="share of a pass")
    parser.add_argument("--jitter-ms", type=float, default=default.jitter_ms, help="of arrivals")
    parser.add_argument("--target-ms", type=float, default=default.target_ms, help="oldest age")
    parser.add_argument("--slow-down", type=float, default=default.slow_down, help="middle third")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="simulated")
    parser.add_argument("--seed", type=int, default=default.seed, help="of arrivals and noise")
    parser.add_argument(
        "--suite",
        action="store_true",
        help="the cases of the README; only with ranks, seconds and plot",
    )
    parser.add_argument(
        "--asked",
        dest="waits_for_credit",
        action="store_true",
        help="frames wait for credits, as the server's do",
    )
    parser.add_argument("--plot", type=Path, help="write B and misses over time to this PNG")
    parser.set_defaults(run=run_simulate)
