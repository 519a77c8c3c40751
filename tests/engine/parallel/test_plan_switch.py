"""parallel/plan_switch.py: blocks change their rank between chunks, and no cache is lost."""

from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.config import CacheParams, DitParams, Positions
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.parallel.block_transfers import BlockMove, transfers
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_forms import layers_plan
from slipstream_engine.parallel.plan_switch import PlanSwitch

BLOCKS, STEPS = 4, 2
CPU = torch.device("cpu")
DIT = DitParams(dim=4, heads=1, layers=BLOCKS, ffn_dim=4)
ADAPTIVE = CacheParams(slots=6, sinks=2, sink_threshold=0.3, positions=Positions.RELATIVE)


def cut(*ends: int) -> PipelinePlan:
    """Ranks that hold the blocks up to each of `ends`, and the last the rest."""
    firsts = (0, *ends)
    return layers_plan(
        [range(first, end) for first, end in zip(firsts, (*ends, BLOCKS), strict=True)],
        steps=STEPS,
    )


def move(old: PipelinePlan, new: PipelinePlan, *, epoch: int = 1) -> BlockMove:
    return BlockMove(
        epoch=epoch, plan=new, transfers=transfers(old, new), gain_ms=1, reason="a test"
    )


def owners(plan: PipelinePlan, step: int) -> list[int]:
    return [part.rank for part in plan.path(step) for _ in part.blocks]


def test_chunks_that_are_begun_end_under_the_old_plan() -> None:
    """the next one runs under the new, and each step's caches go right before it takes the step."""
    old, new = cut(2), cut(3)
    switch = PlanSwitch(old)
    switch.begin(move(old, new), next_chunks={7: 4})
    assert switch.holder_plan(7, 0) == old
    assert switch.holder_plan(8, 0) == new  # opened later
    assert switch.due(7, 3, 1, steps=2) == ()
    (first,) = switch.due(7, 4, 0, steps=2)
    assert (first.source, first.target, first.blocks, first.steps) == (1, 0, range(2, 3), (0,))
    assert switch.holder_plan(7, 0) == new and switch.holder_plan(7, 1) == old
    assert switch.due(7, 4, 0, steps=2) == ()
    assert not switch.is_over
    (second,) = switch.due(7, 4, 1, steps=2)
    assert second.steps == (1,)
    assert switch.is_over and switch.epoch == 1


def test_steps_that_a_chunk_does_not_take_move_with_its_last() -> None:
    """so a stream of fewer steps does not keep the old plan alive."""
    old, new = cut(2), cut(3)
    switch = PlanSwitch(old)
    switch.begin(move(old, new), next_chunks={7: 4})
    (both,) = switch.due(7, 4, 0, steps=1)
    assert both.steps == (0, 1) and switch.is_over


def test_a_stream_that_is_silent_or_closed_ends_the_move() -> None:
    """the rest of its caches goes at once, or need not go."""
    old, new = cut(2), cut(3)
    switch = PlanSwitch(old)
    switch.begin(move(old, new), next_chunks={1: 0, 2: 5})
    with pytest.raises(ValueError, match=r"streams \[1, 2\] are still moving to epoch 1"):
        switch.begin(move(new, old, epoch=2), next_chunks={})
    assert [part.steps for part in switch.rest(1)] == [(0, 1)]
    assert switch.rest(1) == ()
    switch.close(2)
    assert switch.is_over
    with pytest.raises(ValueError, match="the move has epoch 3, it must be 2"):
        switch.begin(move(new, old, epoch=3), next_chunks={})


class MovingRanks:
    """Ranks in one process, each with caches of all blocks, beside one that holds all alone."""

    def __init__(self, plan: PipelinePlan, params: CacheParams) -> None:
        self.switch = PlanSwitch(plan)
        self.plan = plan  # of chunks that begin
        self.plans: dict[tuple[int, int], PipelinePlan] = {}  # by stream and chunk
        self.params = params
        self.caches: dict[tuple[int, int], RollingCache] = defaultdict(self.fresh)
        self.alone: dict[int, RollingCache] = defaultdict(self.fresh)

    def fresh(self) -> RollingCache:
        return RollingCache(
            DIT, self.params, rows=STEPS, frame_tokens=2, device=CPU, dtype=torch.float32
        )

    def take_step(self, stream: int, chunk: int, step: int) -> None:
        """Write a chunk's keys and values of one step; what may be seen must be as on one rank."""
        for transfer in self.switch.due(stream, chunk, step, steps=STEPS):
            source = self.caches[stream, transfer.source]
            target = self.caches[stream, transfer.target]
            for moved in transfer.steps:
                layers = transfer.blocks
                pairs = zip(
                    source.row_tensors(moved, layers),
                    target.row_tensors(moved, layers),
                    strict=True,
                )
                for given_tensor, kept in pairs:
                    kept.copy_(given_tensor)
                    given_tensor.fill_(99)  # the source's copy is worth nothing from now on
        plan = self.plans.setdefault((stream, chunk), self.plan)
        assert owners(plan, step) == owners(self.switch.holder_plan(stream, step), step)
        position = position_of(self.params, past_frames=chunk, frames=1)
        for block, rank in enumerate(owners(plan, step)):
            seen = [
                self.write(cache, block, stream, chunk, step, to_device([position], CPU))
                for cache in (self.caches[stream, rank], self.alone[stream])
            ]
            assert torch.equal(*seen)

    def write(
        self, cache: RollingCache, block: int, stream: int, chunk: int, step: int, at: object
    ) -> torch.Tensor:
        torch.manual_seed(hash((block, stream, chunk, step)))
        key, value = torch.randn(2, 1, 2, 1, DIT.dim)
        row = cache.rows(step, step + 1)
        view = row.write(block, key, value, at)  # type: ignore[arg-type]  # positions
        seen = [view.k_BLHD.flatten(), view.v_BLHD.flatten()]
        if view.ages is not None:
            seen.append(view.ages.key_BK.flatten().float())
        return torch.cat(seen)


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_caches_are_those_of_one_rank_across_moves(data: st.DataObject) -> None:
    """bit for bit, with sinks that adapt, whatever streams, steps in flight and moves there are."""
    ends = st.integers(1, BLOCKS - 1)
    ranks = MovingRanks(cut(data.draw(ends)), ADAPTIVE)
    taken = {(stream, step): 0 for stream in range(2) for step in range(STEPS)}
    for _ in range(32):
        possible = [
            (stream, step)
            for (stream, step), chunk in taken.items()
            if step == 0 or chunk < taken[stream, step - 1]
        ]
        stream, step = data.draw(st.sampled_from(possible))
        ranks.take_step(stream, taken[stream, step], step)
        taken[stream, step] += 1
        new = cut(data.draw(ends))
        if ranks.switch.is_over and new != ranks.plan:
            epoch = ranks.switch.epoch + 1
            begun = {one: taken[one, 0] for one in range(2)}
            ranks.switch.begin(move(ranks.plan, new, epoch=epoch), next_chunks=begun)
            ranks.plan = new
