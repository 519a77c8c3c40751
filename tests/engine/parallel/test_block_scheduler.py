"""parallel/block_scheduler.py, parallel/block_transfers.py, parallel/rank_speed.py."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.parallel.block_scheduler import (
    BlockScheduler,
    ChunkTimes,
    MovePolicy,
)
from slipstream_engine.parallel.block_transfers import BlockMove, BlockTransfer, transfers
from slipstream_engine.parallel.model_costs import DeviceCosts, ModelCosts
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_forms import even_ranges, grouped_plan, layers_plan
from slipstream_engine.parallel.rank_speed import MeasuredTime

COSTS = ModelCosts(encode_ms=0, decode_ms=0, block_ms=(2.0,) * 30)


class Ranks:
    """Ranks of given speeds under the scheduler; `slowness` may change with the chunk."""

    def __init__(
        self,
        plan: PipelinePlan,
        slowness: Callable[[int], Sequence[float]],
        *,
        costs: ModelCosts = COSTS,
        noise: float = 0.0,
        seed: int = 0,
        policy: MovePolicy | None = None,
    ) -> None:
        devices = [DeviceCosts()] * plan.ranks
        self.scheduler = BlockScheduler(plan, costs, devices, steps=plan.steps, policy=policy)
        self.costs = costs
        self.slowness = slowness
        self.noise = noise
        self.random = random.Random(seed)
        self.moves: dict[int, BlockMove] = {}  # by the chunk before which they were made

    def times(self, chunk: int) -> ChunkTimes:
        plan = self.scheduler.plan
        blocks_ms, codec_ms = [0.0] * plan.ranks, [0.0] * plan.ranks
        factors = [
            slow * self.random.lognormvariate(0, self.noise) for slow in self.slowness(chunk)
        ]
        for part in plan.segments:
            block_ms = self.costs.pass_block_ms(len(part.steps))[part.first_block : part.end_block]
            blocks_ms[part.rank] += sum(block_ms) * factors[part.rank]
        codec_ms[plan.encode_rank] += self.costs.encode_ms * factors[plan.encode_rank]
        codec_ms[plan.decode_rank] += self.costs.decode_ms * factors[plan.decode_rank]
        return ChunkTimes(
            epoch=self.scheduler.epoch,
            steps=plan.steps,
            blocks_ms=tuple(blocks_ms),
            codec_ms=tuple(codec_ms),
        )

    def run(self, chunks: int) -> "Ranks":
        for chunk in range(chunks):
            if move := self.scheduler.decide():
                self.moves[chunk] = move
                self.scheduler.moved(move)
            self.scheduler.observe(self.times(chunk))
        return self

    @property
    def held(self) -> list[int]:
        plan = self.scheduler.plan
        return [len(plan.blocks_of(rank, 0)) for rank in range(plan.ranks)]


def even(ranks: int, *, steps: int = 1) -> PipelinePlan:
    return layers_plan(even_ranges(30, ranks), steps=steps)


# ---- it finds the balance


def test_twice_as_slow_is_half_the_blocks() -> None:
    """after the first chunks that were measured, in one move."""
    ranks = Ranks(even(2), lambda chunk: (1.0, 2.0)).run(60)
    assert ranks.held == [20, 10]
    assert list(ranks.moves) == [5]


def test_the_ranks_of_the_codec_hold_less() -> None:
    """as much less as encoder and decoder take."""
    costs = ModelCosts(encode_ms=8, decode_ms=16, block_ms=(2.0,) * 30)
    ranks = Ranks(even(3), lambda chunk: (1, 1, 1), costs=costs).run(60)
    assert ranks.held == [10, 14, 6]


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
def test_a_rank_that_becomes_slow_is_relieved_within_twenty_chunks(noise: float) -> None:
    """whatever the noise of a shared machine; by then the busiest is near its best."""
    for seed in range(10):
        ranks = Ranks(
            even(4), lambda chunk: (1, 1 if chunk < 100 else 2, 1, 1), noise=noise, seed=seed
        ).run(120)
        assert ranks.held[1] <= 6
        assert sum(ranks.held) == 30


def test_groups_of_steps_are_balanced_each() -> None:
    """blocks move between the ranks of a group, and never to those of other steps."""
    plan = grouped_plan([even_ranges(30, 2)] * 2, steps=2)
    ranks = Ranks(plan, lambda chunk: (1, 2, 1, 1)).run(30)
    held = [len(ranks.scheduler.plan.blocks_of(rank, rank // 2)) for rank in range(4)]
    assert held == [20, 10, 15, 15]


def test_a_rank_of_the_codec_alone_stays_one() -> None:
    """and one with blocks keeps one at least, however slow it is: who follows whom is fixed."""
    costs = ModelCosts(encode_ms=10, decode_ms=10, block_ms=(2.0,) * 30)
    plan = grouped_plan([[range(0), range(15), range(15, 30)]], steps=1)
    ranks = Ranks(plan, lambda chunk: (1, 99, 1), costs=costs).run(30)
    assert ranks.held == [0, 1, 29]


def test_chunks_of_other_steps_are_not_compared() -> None:
    """a few disturb nothing; once all have them, the balance is that of their steps."""
    costs = ModelCosts(encode_ms=20, decode_ms=0, block_ms=(2.0,) * 30)
    scheduler = BlockScheduler(even(2, steps=4), costs, [DeviceCosts()] * 2, steps=2)

    def chunk(steps: int) -> None:
        held = [len(scheduler.plan.blocks_of(rank, 0)) for rank in range(2)]
        blocks_ms = tuple(2.0 * steps * blocks for blocks in held)
        scheduler.observe(
            ChunkTimes(epoch=scheduler.epoch, steps=steps, blocks_ms=blocks_ms, codec_ms=(20, 0))
        )
        if move := scheduler.decide():
            scheduler.moved(move)

    for number in range(30):
        chunk(4 if number % 3 == 1 else 2)
    assert len(scheduler.plan.blocks_of(0, 0)) in (12, 13)  # 20 ms are the time of five, twice
    for _ in range(30):
        chunk(1)
    assert len(scheduler.plan.blocks_of(0, 0)) == 10


def test_steps_that_no_stream_uses_stay_where_they_are() -> None:
    """their blocks are never run, so nothing is gained by moving them."""
    plan = grouped_plan([even_ranges(30, 2)] * 2, steps=2)
    devices = [DeviceCosts()] * 4
    scheduler = BlockScheduler(plan, COSTS, devices, steps=1)
    for _ in range(5):
        scheduler.observe(
            ChunkTimes(epoch=0, steps=1, blocks_ms=(30, 60, 0, 0), codec_ms=(0, 0, 0, 0))
        )
    move = scheduler.decide()
    assert move is not None
    assert [transfer.steps for transfer in move.transfers] == [(0,)]


def test_a_rank_is_given_no_more_than_its_memory_holds() -> None:
    """however fast it is."""
    costs = msgspec.structs.replace(COSTS, block_bytes=90, cache_bytes=10)
    devices = [DeviceCosts(memory_bytes=1600), DeviceCosts()]
    scheduler = BlockScheduler(even(2), costs, devices, steps=1)
    for _ in range(5):
        scheduler.observe(ChunkTimes(epoch=0, steps=1, blocks_ms=(15, 60), codec_ms=(0, 0)))
    move = scheduler.decide()
    assert move is not None
    assert len(move.plan.blocks_of(0, 0)) == 16


# ---- it moves only when it pays


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.5, 3.0), min_size=2, max_size=5),
    st.just(0.0) | st.floats(0.02, 0.25),
    st.integers(0, 1000),
    st.tuples(st.floats(0, 30), st.floats(0, 30)),
)
def test_it_never_flaps(
    slowness: list[float], noise: float, seed: int, codec_ms: tuple[float, float]
) -> None:
    """speeds that do not change are worth one move, which is exact, or with noise a few."""
    encode_ms, decode_ms = codec_ms
    costs = ModelCosts(encode_ms=encode_ms, decode_ms=decode_ms, block_ms=(2.0,) * 30)
    ranks = Ranks(even(len(slowness)), lambda chunk: slowness, costs=costs, noise=noise, seed=seed)
    ranks.run(300)
    assert len(ranks.moves) <= (3 if noise else 1)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.5, 4.0), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_it_never_loses_a_block(speeds: list[list[float]], steps: int) -> None:
    """whatever the ranks do, every plan is sound, its epoch is the next, and the transfers turn
    the holders of one plan into those of the next."""
    plan = even(3, steps=steps)
    ranks = Ranks(plan, lambda chunk: speeds[chunk // 30]).run(30 * len(speeds))
    for epoch, move in enumerate(ranks.moves.values(), start=1):
        assert move.epoch == epoch
        held = holders(plan)
        for transfer in move.transfers:
            for step in transfer.steps:
                for block in transfer.blocks:
                    assert held.pop((step, block)) == transfer.source
                    held[step, block] = transfer.target
        assert held == holders(move.plan)
        plan = move.plan


def holders(plan: PipelinePlan) -> dict[tuple[int, int], int]:
    return {
        (step, block): segment.rank
        for step in range(plan.steps)
        for segment in plan.path(step)
        for block in segment.blocks
    }


def test_a_small_gain_moves_nothing() -> None:
    """one within the hysteresis, or one that does not pay for the move."""
    assert not Ranks(even(2), lambda chunk: (1.0, 1.05)).run(100).moves
    dear = MovePolicy(horizon_chunks=10, drain_ms=50, block_ms=31)
    assert not Ranks(even(2), lambda chunk: (1.0, 2.0), policy=dear).run(100).moves
    cheap = MovePolicy(horizon_chunks=10, drain_ms=50, block_ms=29)
    assert Ranks(even(2), lambda chunk: (1.0, 2.0), policy=cheap).run(100).moves


def test_chunks_that_were_disturbed_move_nothing() -> None:
    """one in five ten times too long is no slow rank."""
    ranks = Ranks(even(2), lambda chunk: (1.0, 10.0 if chunk % 5 == 2 else 1.0)).run(200)
    assert not ranks.moves


# ---- epochs


def proposed() -> tuple[BlockScheduler, BlockMove]:
    ranks = Ranks(even(2), lambda chunk: (1.0, 2.0))
    for chunk in range(5):
        ranks.scheduler.observe(ranks.times(chunk))
    move = ranks.scheduler.decide()
    assert move is not None
    return ranks.scheduler, move


def test_one_move_at_a_time() -> None:
    """until the ranks have changed."""
    scheduler, move = proposed()
    assert scheduler.decide() is None
    assert scheduler.epoch == 0 and scheduler.plan != move.plan
    scheduler.moved(move)
    assert scheduler.epoch == 1 and scheduler.plan == move.plan


def test_times_of_an_old_plan_are_ignored() -> None:
    """ranks report late: they are about other blocks."""
    scheduler, move = proposed()
    scheduler.moved(move)
    for _ in range(20):
        scheduler.observe(ChunkTimes(epoch=0, steps=1, blocks_ms=(30, 60), codec_ms=(0, 0)))
    assert scheduler.decide() is None


def test_the_reason_has_the_times() -> None:
    """of the busiest rank, before and after, and what is paid."""
    _, move = proposed()
    assert move.reason == (
        "5 blocks move: the busiest rank takes 60.0 ms for a chunk, then at most 40.0 ms; "
        "0 ms are paid for it once"
    )
    assert move.gain_ms == 20
    assert move.transfers == (BlockTransfer(source=1, target=0, steps=(0,), blocks=range(15, 20)),)


# ---- its parts


def test_transfers_are_joined() -> None:
    """blocks side by side of the same steps travel as one; equal plans need none."""
    old, new = even(3, steps=2), layers_plan([range(12), range(12, 15), range(15, 30)], steps=2)
    assert transfers(old, old) == ()
    assert transfers(old, new) == (
        BlockTransfer(source=1, target=0, steps=(0, 1), blocks=range(10, 12)),
        BlockTransfer(source=1, target=2, steps=(0, 1), blocks=range(15, 20)),
    )
    with pytest.raises(ValueError, match="ranks is 3 in one plan and 2 in the other"):
        transfers(old, even(2, steps=2))


@given(st.lists(st.floats(1.0, 100.0), min_size=1, max_size=40))
def test_a_window_is_its_middle(times_ms: list[float]) -> None:
    """of the last fifteen chunks; the error is 0 where all are alike."""
    measured = MeasuredTime()
    for time_ms in times_ms:
        measured.observe(time_ms)
    last = sorted(times_ms[-15:])
    assert last[(len(last) - 1) // 2] <= measured.middle_ms <= last[len(last) // 2]
    if all(first == second for first, second in pairwise(last)):
        assert measured.error_ms == 0
    measured.forget()
    assert measured.middle_ms == 0 and measured.error_ms == 0
