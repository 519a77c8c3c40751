"""One stream over several ranks: the scheduler on a planned pipeline, beside the exact bound. Pure.

The planner cuts a model by published times of one GPU, the scheduler serves one camera that always
has frames, and what comes out is set beside what the busiest rank allows and, where it is known,
beside what the StreamDiffusionV2 paper measured on that many H100s.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_engine.config import CHUNK_FRAMES
from slipstream_engine.parallel.model_costs import DeviceCosts
from slipstream_engine.parallel.planner import Demand, RatedPlan, choose_plan
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import MAX_BATCH, Scheduler
from slipstream_engine.scheduling.types import ChunkShape, Placement
from slipstream_engine.simulation.camera import SimulatedCamera
from slipstream_engine.simulation.scenario import DEVICES, DeviceModel
from slipstream_engine.simulation.service_time import NoisyService
from slipstream_engine.simulation.simulator import Simulator
from slipstream_engine.simulation.trace import Trace

# StreamDiffusionV2 (arXiv 2511.07399), frames a second on 1 to 4 H100s, rows of GPUs, columns of
# denoising steps
PAPER_FPS: Mapping[str, Sequence[Sequence[float]]] = {
    "h100-1.3b-480p": (
        (20.47, 17.97, 15.68, 13.95),
        (39.77, 34.67, 30.69, 27.06),
        (43.88, 43.79, 41.13, 38.09),
        (44.38, 43.41, 43.08, 42.26),
    ),
    "h100-1.3b-512": (
        (26.21, 24.02, 21.51, 19.43),
        (51.76, 46.92, 41.09, 37.49),
        (63.45, 62.76, 56.75, 54.09),
        (64.52, 63.99, 62.43, 61.57),
    ),
    "h100-14b-480p": (
        (12.68, 8.64, 6.49, 5.28),
        (25.39, 17.31, 13.23, 10.69),
        (37.55, 25.02, 19.12, 15.42),
        (39.24, 33.36, 25.02, 20.05),
    ),
    "h100-14b-512": (
        (18.71, 13.01, 10.09, 8.26),
        (37.12, 25.72, 20.11, 16.65),
        (53.84, 37.47, 29.34, 24.35),
        (58.28, 51.09, 38.41, 31.62),
    ),
}
_CAMERA_OUTPACES = 4  # times the bound
_WARM_UP_SHARE = 0.25  # of the simulated time, in which times are learnt and the ranks fill


@dataclass(frozen=True, slots=True, kw_only=True)
class RankScenario:
    """One model on several devices, and one stream.

    Args:
        device: what each GPU would take for all of it.
        ranks, steps: number of devices, and of each chunk's denoising steps.
        form: of the plan; None for the best.
        hop_ms: that activations take from rank to rank.
        max_batch: most micro-steps in one pass.
        target_ms: age of a chunk's oldest frame beyond which it is missed.
        noise: standard deviation of a pass, as a share of its mean.
        seconds, seed: simulated time, and of all that is drawn at random.

    Raises:
        ValueError: if there is nothing to simulate.
    """

    device: DeviceModel
    ranks: int = 4
    steps: int = 2
    form: str | None = None
    hop_ms: float = 0.5
    max_batch: int = MAX_BATCH
    target_ms: float = 10_000.0
    noise: float = 0.0
    seconds: float = 60.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("ranks", "steps", "target_ms", "max_batch", "seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        for name in ("hop_ms", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankResult:
    """What came out.

    Args:
        plan: that was run.
        bound_fps: what its busiest rank allows, all steps of a chunk in one pass.
        one_rank_fps: the same bound on one device.
        fps: simulated.
        age_p50_ms: of a chunk's first frame when it is done, median.
        paper_fps: measured by the paper; None where it gives no figure.
    """

    scenario: RankScenario
    plan: RatedPlan
    bound_fps: float
    one_rank_fps: float
    fps: float
    age_p50_ms: float
    paper_fps: float | None


def simulate_ranks(scenario: RankScenario) -> RankResult:
    """Plan, run, and measure after a warm-up.

    Raises:
        ValueError: if there is no plan of that form, or nothing came out.
    """
    costs = scenario.device.costs()
    demand = Demand(steps=scenario.steps, max_steps=scenario.steps, streams=1, chunk_period_ms=1e-3)
    devices = [DeviceCosts()] * scenario.ranks
    choice = choose_plan(costs, devices, demand, form=scenario.form)
    bound_fps = CHUNK_FRAMES * 1000 / choice.chosen.estimate.period_ms
    trace = _run(scenario, choice.chosen, bound_fps)
    until_ns = round(scenario.seconds * NS_PER_S)
    from_ns = round(until_ns * _WARM_UP_SHARE)
    ages_ns = sorted(
        outcome.age_ns
        for outcome in trace.outcomes
        if outcome.age_ns is not None and outcome.captured_ns + outcome.age_ns >= from_ns
    )
    if not ages_ns:
        raise ValueError("no chunk came to its end, simulate for longer")
    return RankResult(
        scenario=scenario,
        plan=choice.chosen,
        bound_fps=bound_fps,
        one_rank_fps=CHUNK_FRAMES * 1000 / choice.one_device_ms,
        fps=CHUNK_FRAMES * len(ages_ns) * NS_PER_S / (until_ns - from_ns),
        age_p50_ms=ages_ns[len(ages_ns) // 2] / NS_PER_MS,
        paper_fps=_paper_fps(scenario),
    )


def _run(scenario: RankScenario, rated: RatedPlan, bound_fps: float) -> Trace:
    plan = rated.plan
    placement = Placement(
        encode_rank=plan.encode_rank,
        decode_rank=plan.decode_rank,
        paths=plan.rank_paths,
        path_of_step=plan.path_of_step,
    )
    paths = list(dict.fromkeys(plan.path(step) for step in range(plan.steps)))
    service = NoisyService(
        scenario.device.lines(),
        noise=scenario.noise,
        slow_down=None,
        rng=random.Random(scenario.seed),
        shares=[[len(part.blocks) / plan.blocks for part in path] for path in paths],
    )
    prior = LinearLatency(base_ns=20 * NS_PER_MS, per_item_ns=20 * NS_PER_MS)
    camera = SimulatedCamera(
        fps=_CAMERA_OUTPACES * bound_fps,
        phase_ns=0,
        jitter_ns=0,
        target_ns=round(scenario.target_ms * NS_PER_MS),
        device=0,
        shape=ChunkShape(level="simulated", steps=scenario.steps),
        waits_for_credit=True,
    )
    simulator = Simulator(
        [Scheduler(LatencyModel(prior), max_batch=scenario.max_batch, placement=placement)],
        [service],
        [camera],
        random.Random(scenario.seed),
        placement=placement,
        hop_ns=round(scenario.hop_ms * NS_PER_MS),
    )
    return simulator.run(round(scenario.seconds * NS_PER_S))


def _paper_fps(scenario: RankScenario) -> float | None:
    for name, rows in PAPER_FPS.items():
        if DEVICES[name] == scenario.device and scenario.ranks <= len(rows):
            columns = rows[scenario.ranks - 1]
            return columns[scenario.steps - 1] if scenario.steps <= len(columns) else None
    return None
