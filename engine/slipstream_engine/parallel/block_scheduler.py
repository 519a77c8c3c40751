"""Moves blocks between ranks while streams run, by what each rank takes for a chunk. Pure.

Each rank reports what its blocks, encoder and decoder took for a chunk. From this follows how slow
it is beside the others, and from that the exact partition. Blocks move only if

* the busiest rank would be faster by more than `hysteresis`, even if it is faster than measured
  and the others slower, by `caution` standard errors each: noise moves nothing;
* what is gained over the next `horizon_chunks` is more than the move costs.

A rank that has blocks keeps one at least, and one that has none gets none: who passes a chunk on to
whom stays as it is. Chunks of other steps than most are not compared with those.

A move has an epoch, a number that rises by one. It happens between two chunks: all ranks run the
old plan up to a chunk and the new one from the next. Measurements of another epoch are ignored, and
after a move all begin anew.

    scheduler.observe(times)  # of each chunk
    if move := scheduler.decide():
        ...  # let the ranks agree, move the caches
        scheduler.moved(move)

Where the public implementation of the paper moves blocks once and by rounding, this is the
optimum, whenever it pays (StreamDiffusionV2, "DiT block scheduler").
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from slipstream_engine.parallel.block_transfers import BlockMove, transfers
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts, rank_load
from slipstream_engine.parallel.pipeline_partition import RankLoad, least_bottleneck_ms, partition
from slipstream_engine.parallel.plan import PipelinePlan, Segment
from slipstream_engine.parallel.rank_speed import LEAST_CHUNKS, WINDOW_CHUNKS, MeasuredTime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTimes:
    """What each rank took for one chunk.

    Args:
        epoch: of the plan it ran under.
        steps: that it took.
        blocks_ms: for all its blocks in all steps.
        codec_ms: for its part of the codec.
    """

    epoch: int
    steps: int
    blocks_ms: tuple[float, ...]
    codec_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MovePolicy:
    """When a move is worth it.

    Args:
        hysteresis: share by which the busiest rank must become faster.
        caution: standard errors that measurements may be wrong by.
        horizon_chunks: over which a move has to pay.
        drain_ms: that a move costs whatever moves: the ranks run empty and fill again.
        block_ms: that each block which moves costs beside it.
    """

    hysteresis: float = 0.05
    caution: float = 2.0
    horizon_chunks: int = 250
    drain_ms: float = 0.0
    block_ms: float = 0.0


class BlockScheduler:
    """See the module.

    Args:
        plan: that the ranks run.
        costs: nominal; how blocks differ, and what they hold.
        devices: one a rank; their slowness counts until it is measured.
        steps: of the streams, at first; when chunks have others for long, those.
        streams: whose caches a rank must have room for.

    Attributes:
        plan, epoch: those that the ranks run.
    """

    def __init__(
        self,
        plan: PipelinePlan,
        costs: ModelCosts,
        devices: Sequence[DeviceCosts],
        *,
        steps: int,
        streams: int = 1,
        policy: MovePolicy | None = None,
    ) -> None:
        self.plan = plan
        self.epoch = 0
        self._costs = costs
        self._devices = tuple(devices)
        self._steps = steps
        self._streams = streams
        self._policy = policy or MovePolicy()
        self._blocks = [MeasuredTime() for _ in devices]
        self._codec = [MeasuredTime() for _ in devices]
        self._slowness = [device.slowness for device in devices]  # the last that was measured
        self._proposed: BlockMove | None = None
        self._new_chunks = 0  # since the last decision
        self._other_chunks = 0  # of other steps, one after the other

    def observe(self, times: ChunkTimes) -> None:
        """A chunk has passed all ranks."""
        if times.epoch != self.epoch or self._proposed is not None:
            return
        if times.steps != self._steps:
            self._other_chunks += 1
            if self._other_chunks < WINDOW_CHUNKS:
                return
            self._steps = times.steps
            self._begin_anew()
        self._other_chunks = 0
        for measured, time_ms in zip(self._blocks, times.blocks_ms, strict=True):
            measured.observe(time_ms)
        for measured, time_ms in zip(self._codec, times.codec_ms, strict=True):
            measured.observe(time_ms)
        self._new_chunks += 1

    def decide(self) -> BlockMove | None:
        """The move to make now, if one is worth it; until it is over there is no other.

        It is looked for once in `LEAST_CHUNKS` chunks.
        """
        if self._proposed is not None or self._new_chunks < LEAST_CHUNKS:
            return None
        self._new_chunks = 0
        for rank, nominal_ms in enumerate(self._nominal_ms(self.plan)):
            if nominal_ms:
                self._slowness[rank] = self._blocks[rank].middle_ms / nominal_ms
        busiest_ms = max(self._rank_ms(self.plan, caution=-self._policy.caution))
        if self._least_ms() >= busiest_ms * (1 - self._policy.hysteresis):
            return None  # no plan can be enough better
        plan = self._best_plan()
        moving = transfers(self.plan, plan)
        then_ms = max(self._rank_ms(plan, caution=self._policy.caution))
        gain_ms = busiest_ms - then_ms
        if not moving or gain_ms <= self._policy.hysteresis * busiest_ms:
            return None
        blocks = sum(len(transfer.blocks) for transfer in moving)
        cost_ms = self._policy.drain_ms + self._policy.block_ms * blocks
        if gain_ms * self._policy.horizon_chunks <= cost_ms:
            return None
        self._proposed = BlockMove(
            epoch=self.epoch + 1,
            plan=plan,
            transfers=moving,
            gain_ms=gain_ms,
            reason=(
                f"{blocks} blocks move: the busiest rank takes {busiest_ms:.1f} ms for a chunk, "
                f"then at most {then_ms:.1f} ms; {cost_ms:.0f} ms are paid for it once"
            ),
        )
        return self._proposed

    def moved(self, move: BlockMove) -> None:
        """All ranks run the new plan."""
        self.plan, self.epoch = move.plan, move.epoch
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._proposed = None
        self._new_chunks = 0
        for measured in (*self._blocks, *self._codec):
            measured.forget()

    def _nominal_ms(self, plan: PipelinePlan) -> list[float]:
        """What each rank's blocks would take where nothing is slow."""
        times_ms = [0.0] * plan.ranks
        for segment in plan.segments:
            block_ms = self._costs.pass_block_ms(self._used(segment.steps))
            times_ms[segment.rank] += sum(block_ms[segment.first_block : segment.end_block])
        return times_ms

    def _rank_ms(self, plan: PipelinePlan, *, caution: float) -> list[float]:
        """What each rank would take, each measurement wrong by so many standard errors."""
        times_ms: list[float] = []
        for rank, nominal_ms in enumerate(self._nominal_ms(plan)):
            blocks, codec = self._blocks[rank], self._codec[rank]
            error = blocks.error_ms / blocks.middle_ms if blocks.middle_ms else 0.0
            blocks_ms = nominal_ms * self._slowness[rank] * (1 + caution * error)
            times_ms.append(blocks_ms + codec.middle_ms + caution * codec.error_ms)
        return times_ms

    def _least_ms(self) -> float:
        """What the busiest rank takes at least, however blocks are moved."""
        return max(
            least_bottleneck_ms(
                self._costs.pass_block_ms(self._used(steps)),
                [self._load(rank, steps) for rank in ranks],
            )
            for steps, ranks in _groups(self.plan)
        )

    def _best_plan(self) -> PipelinePlan:
        """The exact partition of each group of ranks that share the same steps."""
        segments: list[Segment] = []
        for steps, ranks in _groups(self.plan):
            if not self._used(steps):  # nothing is known of these blocks' weight
                segments += [part for part in self.plan.segments if part.steps == steps]
                continue
            loads = [self._load(rank, steps) for rank in ranks]
            block_ms = self._costs.pass_block_ms(self._used(steps))
            ranges = partition(block_ms, loads)
            segments += [
                Segment(rank=rank, steps=steps, first_block=blocks.start, end_block=blocks.stop)
                for rank, blocks in zip(ranks, ranges, strict=True)
                if blocks
            ]
        return msgspec.structs.replace(self.plan, segments=tuple(segments))

    def _load(self, rank: int, steps: Sequence[int]) -> RankLoad:
        load = rank_load(
            self._costs,
            self._devices[rank],
            cache_rows=self._streams * len(steps),
            encodes=rank == self.plan.encode_rank,
            decodes=rank == self.plan.decode_rank,
        )
        return replace(
            load,
            fixed_ms=self._codec[rank].middle_ms,
            slowness=self._slowness[rank],
            min_blocks=1,
            max_blocks=None if load.max_blocks is None else max(load.max_blocks, 1),
        )

    def _used(self, steps: Sequence[int]) -> int:
        return sum(step < self._steps for step in steps)


def _groups(plan: PipelinePlan) -> list[tuple[tuple[int, ...], list[int]]]:
    """The steps of each group of ranks that share blocks, and its ranks."""
    groups: list[tuple[tuple[int, ...], list[int]]] = []
    for rank in range(plan.ranks):
        for held in plan.segments_of(rank)[:1]:
            if groups and groups[-1][0] == held.steps:
                groups[-1][1].append(rank)
            else:
                groups.append((held.steps, [rank]))
    return groups
