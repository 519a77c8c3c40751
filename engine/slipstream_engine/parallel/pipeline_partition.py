"""Which blocks of the transformer go to which rank: an exact partition on measured times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLoad:
    """What a rank costs.

    Args:
        fixed_s: seconds a chunk it spends on other things than blocks (encode, decode, transfer).
        slowness: its time for a block, over the block's nominal time.
    """

    fixed_s: float = 0.0
    slowness: float = 1.0


def bottleneck_s(
    ranges: Sequence[range], block_s: Sequence[float], ranks: Sequence[RankLoad]
) -> float:
    """Seconds a chunk of the slowest rank."""
    return max(
        rank.fixed_s + rank.slowness * sum(block_s[i] for i in blocks)
        for blocks, rank in zip(ranges, ranks, strict=True)
    )


def partition(
    block_s: Sequence[float], ranks: Sequence[RankLoad], *, least: int = 1
) -> tuple[range, ...]:
    """The contiguous ranges, in order of the ranks, whose slowest rank is fastest.

    Args:
        block_s: nominal seconds of each block.
        ranks: the ranks in pipeline order.
        least: blocks every rank must hold.

    Raises:
        ValueError: if there are no ranks, or too few blocks for them.
    """
    blocks = len(block_s)
    if not ranks or blocks < least * len(ranks):
        raise ValueError(
            f"{blocks} blocks cannot give {len(ranks)} ranks at least {least} each, use fewer ranks"
        )
    before_s = [0.0, *accumulate(block_s)]
    # best[end]: least bottleneck of the ranks so far over the blocks before `end`
    # cuts[rank][end]: the first block of that rank in it
    best = [0.0] + [math.inf] * blocks
    cuts: list[list[int]] = []
    for rank in ranks:
        reached = [math.inf] * (blocks + 1)
        cut = [0] * (blocks + 1)
        for end in range(blocks + 1):
            for start in range(end - least + 1):
                load_s = rank.fixed_s + rank.slowness * (before_s[end] - before_s[start])
                if (worst := max(best[start], load_s)) < reached[end]:
                    reached[end], cut[end] = worst, start
        best = reached
        cuts.append(cut)
    ranges: list[range] = []
    end = blocks
    for cut in reversed(cuts):
        ranges.append(range(cut[end], end))
        end = cut[end]
    return tuple(reversed(ranges))
