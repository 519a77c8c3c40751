"""Real ranks and their real leader, with stages that only last as long as a GPU's would.

    python -m tests.bench.ranks [--chunks 60] [--out FILE.json]

The loop serves one camera that always has frames; the ranks are threads over Gloo. Each stage takes
what the StreamDiffusionV2 paper's tables say of one H100 and computes nothing, so what is measured
is the rest: orders, reports, latents and activations on their way, and how well the ranks are kept
busy. The bound is the plan's busiest rank.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import torch
from slipstream_engine.bench.serving_runner import serve_clients
from slipstream_engine.bench.workload import BenchDuration, Scene
from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.diffusion.chunk import ChunkMaker
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.planner import Demand, choose_plan
from slipstream_engine.simulation.scenario import DEVICES, DeviceModel

from tests.bench.__main__ import processor
from tests.engine.rank_groups import small_config, thread_group

CASES = (("h100-14b-480p", 1), ("h100-14b-480p", 2), ("h100-14b-480p", 4), ("h100-1.3b-480p", 2))
RANKS = (1, 2, 4)


class RanksPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """One plan.

    Args:
        plan: its form.
        fps: measured; `bound_fps` is what the busiest rank allows.
        leader_ms: CPU time of the leader's thread, a chunk.
    """

    device: str
    steps: int
    ranks: int
    plan: str
    fps: float
    bound_fps: float
    leader_ms: float


class RanksReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Args:
        load: of all processes, before, as the system averages it.
        chunks: that were measured of each case.
    """

    date: str
    machine: str
    cores: int
    load: float
    python: str
    chunks: int
    played: list[RanksPlayed]


def costs_of(device: DeviceModel) -> ModelCosts:
    """A group's passes hold one chunk each, and what a pass costs beside its blocks is not played:
    a recorded graph has none of it."""
    return msgspec.structs.replace(device.costs(), pass_ms=0.0)


@contextmanager
def stages_that_last(costs: ModelCosts) -> Iterator[None]:
    """All ranks of this process take their times from `costs`."""

    def lasting(function: Callable[..., Any], took_ms: float) -> Callable[..., Any]:
        def stage(*args: Any, **kwargs: Any) -> Any:
            until_s = time.monotonic() + took_ms / 1e3
            made = function(*args, **kwargs)
            time.sleep(max(0.0, until_s - time.monotonic()))
            return made

        return stage

    def run_part(
        maker: ChunkMaker[Any], chunk: Any, x_FCHW: Any, row: int, part: Any, tokens_FSC: Any = None
    ) -> Any:
        time.sleep(sum(costs.block_ms[: len(part.layers)]) / 1e3)  # blocks are alike
        if part.heads:
            return x_FCHW
        if tokens_FSC is not None:
            return tokens_FSC
        rows, columns = maker.model.grid(*x_FCHW.shape[-2:])
        return torch.zeros(len(x_FCHW), rows * columns, maker.model.params.dim)

    with (
        patch.object(ChunkMaker, "run_part", run_part),
        patch.object(ChunkMaker, "encode", lasting(ChunkMaker.encode, costs.encode_ms)),
        patch.object(ChunkMaker, "decode", lasting(ChunkMaker.decode, costs.decode_ms)),
    ):
        yield


def best_plan(costs: ModelCosts, *, ranks: int, steps: int) -> tuple[PipelinePlan, float]:
    """The fastest plan, and the least distance of its chunks in ms."""
    demand = Demand(steps=steps, max_steps=steps, streams=1, chunk_period_ms=1e-3)
    chosen = choose_plan(costs, [DeviceCosts()] * ranks, demand).chosen
    return chosen.plan, chosen.estimate.period_ms


def play(name: str, *, ranks: int, steps: int, chunks: int) -> RanksPlayed:
    """Serve one stream."""
    costs = costs_of(DEVICES[name])
    plan, period_ms = best_plan(costs, ranks=ranks, steps=steps)
    config = small_config()
    dit = replace(config.preset.dit, layers=costs.blocks)
    schedule = replace(config.preset.schedule, steps=steps)
    preset = replace(config.preset, dit=dit, schedule=schedule)
    config = replace(config, preset=preset, max_streams=1)
    with closing(thread_group(config, plan)) as group, stages_that_last(costs):
        samples, stats = serve_clients(
            group,
            Scene(group.geometry),
            group.defaults,
            warm_up_chunks=8,
            duration=BenchDuration(chunks=chunks, seconds=0.0),
        )
        decoded = group.decoded_chunks
    took_s = (samples[-1].done_s - samples[0].done_s) / (len(samples) - 1)
    return RanksPlayed(
        device=name,
        steps=steps,
        ranks=ranks,
        plan=plan.form,
        fps=CHUNK_FRAMES / took_s,
        bound_fps=CHUNK_FRAMES * 1e3 / period_ms,
        leader_ms=(stats.overhead_ns + stats.pass_cpu_ns) / 1e6 / decoded,
    )


def ranks_table(report: RanksReport) -> str:
    """The figures as Markdown; `times one` is the rate beside that of one rank."""
    rows = [
        "| times of | steps | ranks | plan | fps | of the bound | times one | leader ms a chunk |",
        "|---" * 8 + "|",
    ]
    alone = {(one.device, one.steps): one.fps for one in report.played if one.ranks == 1}
    rows += [
        f"| {one.device} | {one.steps} | {one.ranks} | {one.plan} | {one.fps:.1f} | "
        f"{one.fps / one.bound_fps:.0%} | {one.fps / alone[one.device, one.steps]:.2f} | "
        f"{one.leader_ms:.2f} |"
        for one in report.played
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ranks", description=__doc__)
    parser.add_argument("--chunks", type=int, default=60, help="that are measured, of each case")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    played = [
        play(name, ranks=ranks, steps=steps, chunks=arguments.chunks)
        for name, steps in CASES
        for ranks in RANKS
    ]
    report = RanksReport(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=os.cpu_count() or 1,
        load=load,
        python=platform.python_version(),
        chunks=arguments.chunks,
        played=played,
    )
    if arguments.out:
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        arguments.out.write_bytes(text + b"\n")
    print(ranks_table(report))


if __name__ == "__main__":
    main()
