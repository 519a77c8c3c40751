"""Assigns the transformer's blocks to the ranks of a pipeline, from measured times.

In pipeline parallelism each rank (device) runs a contiguous range of blocks, and the slowest rank
sets the pace. `partition` finds the ranges whose slowest rank is fastest, exactly, by dynamic
programming in O(ranks * blocks^2) time. The first and last ranks, which also encode and decode,
get fewer blocks; so do slower devices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLoad:
    """The cost of a rank besides its blocks, and its relative speed.

    Args:
        fixed_s: seconds a chunk for anything but blocks (encode, decode, transfer).
        slowness: its time for a block, divided by the block's nominal time.
    """

    fixed_s: float = 0.0
    slowness: float = 1.0


def bottleneck_s(
    ranges: Sequence[range], block_s: Sequence[float], ranks: Sequence[RankLoad]
) -> float:
    """Time of the slowest rank for a chunk."""
    return max(
        rank.fixed_s + rank.slowness * sum(block_s[i] for i in blocks)
        for blocks, rank in zip(ranges, ranks, strict=True)
    )


def partition(
    block_s: Sequence[float], ranks: Sequence[RankLoad], *, min_blocks: int = 1
) -> tuple[range, ...]:
    """The contiguous ranges of blocks, in the order of the ranks, whose slowest rank is fastest.

    Args:
        block_s: nominal seconds of each block.
        ranks: the ranks in pipeline order.
        min_blocks: that every rank must hold.

    Raises:
        ValueError: if there are no ranks, or too few blocks for them.
    """
    blocks = len(block_s)
    if not ranks or blocks < min_blocks * len(ranks):
        raise ValueError(
            f"{blocks} blocks cannot give {len(ranks)} ranks at least {min_blocks} each, "
            "use fewer ranks"
        )
    before_s = [0.0, *accumulate(block_s)]
    # best[end]: smallest bottleneck if the ranks so far hold the blocks before `end`
    # cuts[rank][end]: the first block of that rank in this solution
    best = [0.0] + [math.inf] * blocks
    cuts: list[list[int]] = []
    for rank in ranks:
        next_best = [math.inf] * (blocks + 1)
        cut = [0] * (blocks + 1)
        for end in range(blocks + 1):
            for start in range(end - min_blocks + 1):
                load_s = rank.fixed_s + rank.slowness * (before_s[end] - before_s[start])
                if (worst := max(best[start], load_s)) < next_best[end]:
                    next_best[end], cut[end] = worst, start
        best = next_best
        cuts.append(cut)
    ranges: list[range] = []
    end = blocks
    for cut in reversed(cuts):
        ranges.append(range(cut[end], end))
        end = cut[end]
    return tuple(reversed(ranges))
