"""parallel/pipeline_partition.py: the exact partition."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.parallel.pipeline_partition import (
    RankLoad,
    bottleneck_ms,
    least_bottleneck_ms,
    partition,
)

times = st.floats(0.0, 10.0)
loads = st.builds(RankLoad, fixed_ms=times, slowness=st.floats(0.1, 5.0))


@settings(max_examples=80, deadline=None)
@given(st.lists(times, min_size=1, max_size=8), st.lists(loads, min_size=1, max_size=4))
def test_no_partition_is_better(block_ms: list[float], ranks: list[RankLoad]) -> None:
    """Against every contiguous partition there is, ours has the least bottleneck."""
    blocks = len(block_ms)
    if blocks < len(ranks):
        return
    ours = partition(block_ms, ranks)
    assert [i for r in ours for i in r] == list(range(blocks))
    assert all(len(r) >= 1 for r in ours)
    best = min(
        bottleneck_ms(
            [range(a, b) for a, b in zip((0, *cuts), (*cuts, blocks), strict=True)], block_ms, ranks
        )
        for cuts in combinations(range(1, blocks), len(ranks) - 1)
    )
    assert bottleneck_ms(ours, block_ms, ranks) == pytest.approx(best)


def test_a_rank_may_be_left_without_blocks() -> None:
    """Where nothing is the least, a rank busy with the codec holds no blocks at all."""
    ranks = [RankLoad(fixed_ms=9.0, min_blocks=0), RankLoad(), RankLoad()]
    assert partition([1.0] * 6, ranks)[0] == range(0, 0)


def test_too_few_blocks_are_refused() -> None:
    """More ranks than blocks, or no ranks, is an error that says so."""
    with pytest.raises(ValueError, match="3 blocks cannot give 4 ranks the 4 that they must hold"):
        partition([1.0] * 3, [RankLoad()] * 4)
    with pytest.raises(ValueError, match="3 blocks cannot give 0 ranks"):
        partition([1.0] * 3, [])


def test_no_rank_holds_more_than_it_has_room_for() -> None:
    """even if it is fast, and where not all blocks fit the error says so."""
    ranks = [RankLoad(max_blocks=2), RankLoad(slowness=9.0), RankLoad(max_blocks=1)]
    assert partition([1.0] * 6, ranks) == (range(0, 2), range(2, 5), range(5, 6))
    with pytest.raises(ValueError, match="6 blocks do not fit into 2 ranks with room for 3"):
        partition([1.0] * 6, [ranks[0], ranks[2]])
    with pytest.raises(ValueError, match="room for 0 blocks and must hold 1"):
        RankLoad(max_blocks=0)


@settings(max_examples=80, deadline=None)
@given(st.lists(times, min_size=4, max_size=8), st.lists(loads, min_size=1, max_size=4))
def test_no_partition_goes_below_the_bound(block_ms: list[float], ranks: list[RankLoad]) -> None:
    """that is computed without one; alike ranks and blocks reach it."""
    reached_ms = bottleneck_ms(partition(block_ms, ranks), block_ms, ranks)
    assert least_bottleneck_ms(block_ms, ranks) <= reached_ms * (1 + 1e-9)
    assert least_bottleneck_ms([2.0] * 6, [RankLoad()] * 3) == 4
