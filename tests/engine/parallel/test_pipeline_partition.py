"""parallel/pipeline_partition.py: the exact partition."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.parallel.pipeline_partition import RankLoad, bottleneck_s, partition

seconds = st.floats(0.0, 10.0)
loads = st.builds(RankLoad, fixed_s=seconds, slowness=st.floats(0.1, 5.0))


@settings(max_examples=80, deadline=None)
@given(st.lists(seconds, min_size=1, max_size=8), st.lists(loads, min_size=1, max_size=4))
def test_no_partition_is_better(block_s: list[float], ranks: list[RankLoad]) -> None:
    """Against every contiguous partition there is, ours has the least bottleneck."""
    blocks = len(block_s)
    if blocks < len(ranks):
        return
    ours = partition(block_s, ranks)
    assert [i for r in ours for i in r] == list(range(blocks))
    assert all(len(r) >= 1 for r in ours)
    best = min(
        bottleneck_s(
            [range(a, b) for a, b in zip((0, *cuts), (*cuts, blocks), strict=True)], block_s, ranks
        )
        for cuts in combinations(range(1, blocks), len(ranks) - 1)
    )
    assert bottleneck_s(ours, block_s, ranks) == pytest.approx(best)


def test_a_rank_may_be_left_without_blocks() -> None:
    """Where nothing is the least, a rank busy with the codec holds no blocks at all."""
    ranks = [RankLoad(fixed_s=9.0), RankLoad(), RankLoad()]
    assert partition([1.0] * 6, ranks, min_blocks=0)[0] == range(0, 0)


def test_too_few_blocks_are_refused() -> None:
    """More ranks than blocks, or no ranks, is an error that says so."""
    with pytest.raises(ValueError, match="3 blocks cannot give 4 ranks at least 1 each"):
        partition([1.0] * 3, [RankLoad()] * 4)
    with pytest.raises(ValueError, match="3 blocks cannot give 0 ranks"):
        partition([1.0] * 3, [])
