"""`slipstream-engine plan`: the plan for given times and devices, without running anything."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
from slipstream_protocol.parameters import MAX_STEPS

from slipstream_engine.cli.options import count, milliseconds
from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts, read_costs
from slipstream_engine.parallel.plan import PipelinePlan, read_plan
from slipstream_engine.parallel.plan_estimate import PlanEstimate, estimate
from slipstream_engine.parallel.planner import Demand, PlanChoice, choose_plan
from slipstream_engine.simulation.scenario import DEVICES

FORMS = ("layers", "steps", "layers x steps")


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan --json` prints.

    Args:
        plan: as in a plan's file.
        reason: why this plan.
        rank_ms: each rank's time for a chunk.
        fps, latency_ms: the highest rate, and the time of a chunk alone.
        memory_bytes: each rank's weights and caches.
    """

    plan: PipelinePlan
    reason: str
    rank_ms: tuple[float, ...]
    fps: float
    latency_ms: float
    memory_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    plan: PipelinePlan
    estimate: PlanEstimate
    reason: str
    choice: PlanChoice | None


def add_plan(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("plan", help="which device would run what, by given times")
    parser.add_argument(
        "--times",
        required=True,
        metavar="FILE",
        help=f"JSON of a model's costs, or one of {', '.join(DEVICES)}",
    )
    parser.add_argument("--devices", type=count, required=True, help="number of devices")
    parser.add_argument(
        "--slowness",
        type=_numbers,
        default=(),
        metavar="X,...",
        help="of each device, beside the one that was measured (default: 1 for all)",
    )
    parser.add_argument("--memory-gb", type=milliseconds, help="of each device, for all of it")
    parser.add_argument("--steps", type=count, default=2, help="of the streams (default: 2)")
    parser.add_argument(
        "--max-steps", type=count, default=MAX_STEPS, help="to have room for (default: %(default)s)"
    )
    parser.add_argument("--streams", type=count, default=1, help="open at once (default: 1)")
    parser.add_argument("--fps", type=milliseconds, default=30.0, help="of a camera (default: 30)")
    parser.add_argument(
        "--plan", default="auto", help=f"auto, {', '.join(FORMS)}, or a plan's file (default: auto)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, the plan in it")
    parser.set_defaults(run=run_plan)


def run_plan(arguments: argparse.Namespace) -> int:
    """Print the plan as a table for people, or as JSON."""
    try:
        planned = _planned(arguments)
    except (ValueError, OSError) as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    print(_json(planned) if arguments.json else _table(planned))
    return 0


def _planned(arguments: argparse.Namespace) -> _Planned:
    costs = _costs(arguments.times)
    devices = _devices(arguments)
    demand = Demand(
        steps=arguments.steps,
        max_steps=max(arguments.max_steps, arguments.steps),
        streams=arguments.streams,
        chunk_period_ms=CHUNK_FRAMES * 1000 / arguments.fps,
    )
    if arguments.plan == "auto" or arguments.plan in FORMS:
        form = None if arguments.plan == "auto" else arguments.plan
        choice = choose_plan(costs, devices, demand, form=form)
        chosen = choice.chosen
        return _Planned(
            plan=chosen.plan, estimate=chosen.estimate, reason=choice.reason, choice=choice
        )
    plan = read_plan(Path(arguments.plan).read_bytes())
    figures = estimate(plan, costs, devices, steps=demand.steps, streams=demand.streams)
    return _Planned(plan=plan, estimate=figures, reason=f"from {arguments.plan}", choice=None)


def _costs(name: str) -> ModelCosts:
    if name in DEVICES:
        return DEVICES[name].costs()
    return read_costs(Path(name).read_bytes())


def _devices(arguments: argparse.Namespace) -> list[DeviceCosts]:
    slowness = arguments.slowness or (1.0,) * arguments.devices
    if len(slowness) != arguments.devices:
        raise ValueError(
            f"slowness has {len(slowness)} numbers for {arguments.devices} devices, "
            "name one for each, or none"
        )
    memory_bytes = None if arguments.memory_gb is None else round(arguments.memory_gb * 1e9)
    return [DeviceCosts(slowness=number, memory_bytes=memory_bytes) for number in slowness]


def _numbers(text: str) -> tuple[float, ...]:
    """Parse numbers above 0 with commas between; an argparse type."""
    return tuple(milliseconds(part) for part in text.split(","))


def _fps(figures: PlanEstimate) -> float:
    return CHUNK_FRAMES * 1000 / figures.period_ms


def _json(planned: _Planned) -> str:
    figures = planned.estimate
    report = PlanReport(
        plan=planned.plan,
        reason=planned.reason,
        rank_ms=figures.rank_ms,
        fps=_fps(figures),
        latency_ms=figures.latency_ms,
        memory_bytes=figures.memory_bytes,
    )
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def _table(planned: _Planned) -> str:
    plan, figures = planned.plan, planned.estimate
    lines = [planned.reason, "", f"{'rank':<6}{'ms a chunk':>11}{'load':>7}{'GB':>7}  runs"]
    for rank, (rank_ms, size_bytes) in enumerate(
        zip(figures.rank_ms, figures.memory_bytes, strict=True)
    ):
        lines.append(
            f"{rank:<6}{rank_ms:>11.1f}{rank_ms / figures.period_ms:>7.0%}"
            f"{size_bytes / 1e9:>7.1f}  {_work(plan, rank)}"
        )
    lines += ["", f"{'form':<16}{'fps':>7}{'latency ms':>12}{'idle':>7}"]
    others = planned.choice.best_of_forms if planned.choice else ()
    rows = [("this plan", figures), *((one.plan.form, one.estimate) for one in others)]
    lines += [
        f"{name:<16}{_fps(one):>7.1f}{one.latency_ms:>12.0f}{one.bubble_share:>7.0%}"
        for name, one in rows
    ]
    return "\n".join(lines)


def _work(plan: PipelinePlan, rank: int) -> str:
    parts = ["encode"] if rank == plan.encode_rank else []
    for segment in plan.segments_of(rank):
        steps = ", ".join(str(step) for step in segment.steps)
        parts.append(f"blocks {segment.first_block} to {segment.end_block - 1} of steps {steps}")
    return "; ".join([*parts, *(["decode"] if rank == plan.decode_rank else [])])
