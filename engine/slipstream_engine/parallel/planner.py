"""Chooses a plan by measured times, memory and links, and says why. Pure.

Every way of sharing the devices is tried: how many groups of ranks take the steps in turn, of how
many ranks each, with the codec's decoder on the first rank or on the last. Within each the blocks
are cut by the exact partition, so a rank that also encodes or decodes, or is slow, or has little
memory, holds fewer. Where the camera sends more than the best of these can do, the plan of the
highest rate is taken, else among those that keep up with the camera the one of the lowest latency.
All devices that are given are used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts, rank_load
from slipstream_engine.parallel.pipeline_partition import partition
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_estimate import PlanEstimate, estimate
from slipstream_engine.parallel.plan_forms import grouped_plan, layers_plan

FULL_LOAD = 0.9  # of the busiest rank, up to which a plan keeps up with a camera
_ALIKE = 0.02  # share by which figures may differ and still count as equal


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedPlan:
    """A plan and its figures."""

    plan: PipelinePlan
    estimate: PlanEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChoice:
    """A plan, why it was taken, and the best of each form that it was chosen from.

    Args:
        one_device_ms: the least distance of chunks on the fastest device alone.
    """

    chosen: RatedPlan
    reason: str
    best_of_forms: tuple[RatedPlan, ...]
    one_device_ms: float

    @property
    def scaling(self) -> float:
        """The rate, as a multiple of one device's."""
        return self.one_device_ms / self.chosen.estimate.period_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What streams ask of a model.

    Args:
        steps: denoising steps that they use.
        max_steps: that there must be room for.
        streams: open at once.
        chunk_period_ms: distance of one stream's chunks, by its camera.

    Raises:
        ValueError: if any is too small.
    """

    steps: int
    max_steps: int
    streams: int
    chunk_period_ms: float

    def __post_init__(self) -> None:
        for name in ("steps", "streams", "chunk_period_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be above 0")
        if self.max_steps < self.steps:
            raise ValueError(f"max_steps is {self.max_steps}, it must be at least {self.steps}")

    @property
    def period_ms(self) -> float:
        """Distance of chunks, of all streams."""
        return self.chunk_period_ms / self.streams


def choose_plan(
    costs: ModelCosts, devices: Sequence[DeviceCosts], demand: Demand, *, form: str | None = None
) -> PlanChoice:
    """The best plan for a demand.

    Args:
        form: only plans of this form; None for any.

    Raises:
        ValueError: if there is no device, or no plan that fits the devices' memory.
    """
    rated = [
        RatedPlan(
            plan=plan,
            estimate=estimate(plan, costs, devices, steps=demand.steps, streams=demand.streams),
        )
        for plan in _candidates(costs, devices, demand)
        if form in (None, plan.form)
    ]
    if not rated:
        raise ValueError(_no_plan(costs, devices, demand, form))
    in_time = [one for one in rated if one.estimate.period_ms <= FULL_LOAD * demand.period_ms]
    chosen = _lowest_latency(in_time) if in_time else _highest_rate(rated)
    best: dict[str, list[RatedPlan]] = {}
    for one in rated:
        best.setdefault(one.plan.form, []).append(one)
    fastest = min(devices, key=_slowness)
    alone = layers_plan([range(costs.blocks)], steps=demand.max_steps)
    one_device_ms = estimate(alone, costs, [fastest], steps=demand.steps).period_ms
    return PlanChoice(
        chosen=chosen,
        reason=_reason(chosen, demand, one_device_ms, keeps_up=bool(in_time)),
        best_of_forms=tuple(_highest_rate(plans) for plans in best.values()),
        one_device_ms=one_device_ms,
    )


def _candidates(
    costs: ModelCosts, devices: Sequence[DeviceCosts], demand: Demand
) -> Iterator[PipelinePlan]:
    last = len(devices) - 1
    for groups in range(1, min(len(devices), demand.steps) + 1):
        for sizes in _compositions(len(devices), groups):
            for decode_rank in {0, last}:
                try:
                    yield _cut(costs, devices, demand, sizes, decode_rank)
                except ValueError:
                    continue  # it does not fit; if none does, the caller says so


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """The ways to write `total` as a sum of `parts` numbers of at least 1."""
    if parts == 1:
        yield (total,)
        return
    for first in range(1, total - parts + 2):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _cut(
    costs: ModelCosts,
    devices: Sequence[DeviceCosts],
    demand: Demand,
    sizes: Sequence[int],
    decode_rank: int,
) -> PipelinePlan:
    """The exact partition of each group's blocks over its ranks."""
    ranges: list[tuple[range, ...]] = []
    first_rank = 0
    for group, size in enumerate(sizes):
        used = len(range(group, demand.steps, len(sizes)))
        held = len(range(group, demand.max_steps, len(sizes)))
        loads = [
            rank_load(
                costs,
                devices[rank],
                cache_rows=demand.streams * held,
                encodes=rank == 0,
                decodes=rank == decode_rank,
            )
            for rank in range(first_rank, first_rank + size)
        ]
        ranges.append(partition(costs.pass_block_ms(used), loads))
        first_rank += size
    return grouped_plan(ranges, steps=demand.max_steps, decode_rank=decode_rank)


def _highest_rate(rated: Sequence[RatedPlan]) -> RatedPlan:
    """Of those of nearly the highest rate, the one of the lowest latency."""
    least_ms = min(one.estimate.period_ms for one in rated)
    alike = [one for one in rated if one.estimate.period_ms <= least_ms * (1 + _ALIKE)]
    return min(alike, key=lambda one: (one.estimate.latency_ms, one.estimate.period_ms))


def _lowest_latency(rated: Sequence[RatedPlan]) -> RatedPlan:
    """Of those of nearly the lowest latency, the one of the highest rate."""
    least_ms = min(one.estimate.latency_ms for one in rated)
    alike = [one for one in rated if one.estimate.latency_ms <= least_ms * (1 + _ALIKE)]
    return min(alike, key=lambda one: (one.estimate.period_ms, one.estimate.latency_ms))


def _slowness(device: DeviceCosts) -> float:
    return device.slowness


def _reason(chosen: RatedPlan, demand: Demand, one_device_ms: float, *, keeps_up: bool) -> str:
    period_ms = chosen.estimate.period_ms
    what = (
        f"{chosen.plan.form} over {chosen.plan.ranks}: a chunk every {period_ms:.1f} ms, "
        f"{one_device_ms / period_ms:.2f} times one device, {chosen.estimate.latency_ms:.0f} ms "
        "for one alone"
    )
    if keeps_up:
        return (
            f"{what}; the lowest latency of the plans that keep up with a chunk every "
            f"{demand.period_ms:.1f} ms"
        )
    return (
        f"{what}; the highest rate, as a chunk every {demand.period_ms:.1f} ms is more than "
        f"{FULL_LOAD:.0%} of any plan"
    )


def _no_plan(
    costs: ModelCosts, devices: Sequence[DeviceCosts], demand: Demand, form: str | None
) -> str:
    if not devices:
        return "no device is named, a plan needs at least one"
    if len(devices) - 2 > costs.blocks * demand.steps:
        return (
            f"{len(devices)} devices are more than {costs.blocks} blocks of {demand.steps} steps, "
            "encode and decode can use; name fewer"
        )
    what = f"plan of the form {form}" if form else "plan"
    if all(device.memory_bytes is None for device in devices):
        return (
            f"there is no {what} for {len(devices)} devices and {demand.steps} steps; "
            "name another form or more steps"
        )
    rows = demand.max_steps * demand.streams
    needed_bytes = costs.blocks * (costs.block_bytes + costs.cache_bytes * rows)
    given_bytes = sum(device.memory_bytes or 0 for device in devices)
    return (
        f"no {what} of {len(devices)} devices fits: the blocks need {needed_bytes / 1e9:.1f} GB "
        f"for {demand.streams} streams of {demand.max_steps} steps, beside the codec, and the "
        f"devices have {given_bytes / 1e9:.1f} GB; name more devices, another form, or fewer steps "
        "or streams"
    )
