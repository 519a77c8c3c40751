"""What a plan gives: the rate, the latency of a chunk, and each rank's load and memory. Pure.

Ranks work at the same time, so the busiest rank or link sets the distance of chunks; a chunk that
has the ranks to itself passes one part after the other. Under load the steps of a rank share a
pass, as in the stream batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEstimate:
    """A plan's figures for one chunk after the other.

    Args:
        rank_ms: each rank's time for a chunk.
        link_ms: time that the busiest link needs for a chunk.
        latency_ms: from a chunk's first part to its last, alone.
        memory_bytes: each rank's weights and caches.
    """

    rank_ms: tuple[float, ...]
    link_ms: float
    latency_ms: float
    memory_bytes: tuple[int, ...]

    @property
    def period_ms(self) -> float:
        """The least distance of chunks."""
        return max(*self.rank_ms, self.link_ms)

    @property
    def bubble_share(self) -> float:
        """The part of the ranks' time in which they wait for the busiest part."""
        return 1 - sum(self.rank_ms) / len(self.rank_ms) / self.period_ms


def estimate(
    plan: PipelinePlan,
    costs: ModelCosts,
    devices: Sequence[DeviceCosts],
    *,
    steps: int,
    streams: int = 1,
) -> PlanEstimate:
    """The figures of a plan whose streams have `steps` denoising steps.

    Args:
        devices: one a rank.
        streams: whose caches are held.

    Raises:
        ValueError: if the plan is for another model or other devices.
    """
    if plan.blocks != costs.blocks:
        raise ValueError(
            f"the plan has {plan.blocks} blocks, the model {costs.blocks}; make a plan for it"
        )
    if plan.ranks != len(devices):
        raise ValueError(
            f"the plan has {plan.ranks} ranks for {len(devices)} devices, they must be as many"
        )
    if not 1 <= steps <= plan.steps:
        raise ValueError(f"steps is {steps}, the plan has room for 1 to {plan.steps}")
    return PlanEstimate(
        rank_ms=tuple(
            _rank_ms(plan, costs, rank, steps) * device.slowness
            for rank, device in enumerate(devices)
        ),
        link_ms=_link_ms(plan, costs, steps),
        latency_ms=_latency_ms(plan, costs, devices, steps),
        memory_bytes=tuple(_rank_bytes(plan, costs, rank, streams) for rank in range(plan.ranks)),
    )


def _rank_ms(plan: PipelinePlan, costs: ModelCosts, rank: int, steps: int) -> float:
    time_ms = costs.encode_ms * (rank == plan.encode_rank)
    time_ms += costs.decode_ms * (rank == plan.decode_rank)
    for segment in plan.segments_of(rank):
        used = sum(step < steps for step in segment.steps)
        time_ms += _segment_ms(segment, costs.pass_block_ms(used))
    return time_ms


def _segment_ms(segment: Segment, block_ms: Sequence[float]) -> float:
    return sum(block_ms[segment.first_block : segment.end_block])


def _transfers(plan: PipelinePlan, costs: ModelCosts, steps: int) -> list[tuple[int, int, float]]:
    """What a chunk sends: from which rank, to which, and how long it takes."""
    visits = [(plan.encode_rank, False)]
    for step in range(steps):
        visits += [(segment.rank, hop > 0) for hop, segment in enumerate(plan.path(step))]
    visits.append((plan.decode_rank, False))
    return [
        (source, target, costs.activations_ms if is_inside else costs.latents_ms)
        for (source, _), (target, is_inside) in pairwise(visits)
        if source != target
    ]


def _link_ms(plan: PipelinePlan, costs: ModelCosts, steps: int) -> float:
    """Each pair of ranks has a link of its own in each direction."""
    links: dict[tuple[int, int], float] = {}
    for source, target, sent_ms in _transfers(plan, costs, steps):
        links[source, target] = links.get((source, target), 0.0) + sent_ms
    return max(links.values(), default=0.0)


def _latency_ms(
    plan: PipelinePlan, costs: ModelCosts, devices: Sequence[DeviceCosts], steps: int
) -> float:
    time_ms = costs.encode_ms * devices[plan.encode_rank].slowness
    time_ms += costs.decode_ms * devices[plan.decode_rank].slowness
    alone_ms = costs.pass_block_ms(1)
    for step in range(steps):
        for segment in plan.path(step):
            time_ms += _segment_ms(segment, alone_ms) * devices[segment.rank].slowness
    return time_ms + sum(sent_ms for _, _, sent_ms in _transfers(plan, costs, steps))


def _rank_bytes(plan: PipelinePlan, costs: ModelCosts, rank: int, streams: int) -> int:
    size_bytes = costs.encode_bytes * (rank == plan.encode_rank)
    size_bytes += costs.decode_bytes * (rank == plan.decode_rank)
    size_bytes += costs.block_bytes * len(plan.weights_of(rank))
    for segment in plan.segments_of(rank):
        rows = len(segment.blocks) * len(segment.steps)
        size_bytes += costs.cache_bytes * rows * streams
    return size_bytes
