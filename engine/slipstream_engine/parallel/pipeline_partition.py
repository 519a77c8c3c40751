"""Assigns the transformer's blocks to the ranks of a pipeline, from measured times. Pure.

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
    """The cost of a rank besides its blocks, its relative speed and its room.

    Args:
        fixed_ms: of a chunk for anything but blocks (encode, decode), on this rank.
        slowness: its time for a block, divided by the block's nominal time.
        min_blocks, max_blocks: that it must and can hold; None for as many as there are.

    Raises:
        ValueError: if it cannot hold what it must.
    """

    fixed_ms: float = 0.0
    slowness: float = 1.0
    min_blocks: int = 1
    max_blocks: int | None = None

    def __post_init__(self) -> None:
        if self.max_blocks is not None and self.max_blocks < self.min_blocks:
            raise ValueError(
                f"a rank has room for {self.max_blocks} blocks and must hold {self.min_blocks}, "
                "use a device with more memory, or fewer steps and streams"
            )


def bottleneck_ms(
    ranges: Sequence[range], block_ms: Sequence[float], ranks: Sequence[RankLoad]
) -> float:
    """Time of the slowest rank for a chunk."""
    return max(
        rank.fixed_ms + rank.slowness * sum(block_ms[i] for i in blocks)
        for blocks, rank in zip(ranges, ranks, strict=True)
    )


def least_bottleneck_ms(block_ms: Sequence[float], ranks: Sequence[RankLoad]) -> float:
    """What no partition goes below: as if blocks could be cut at will, at once to compute."""
    speed = sum(1 / rank.slowness for rank in ranks)
    work_ms = sum(block_ms) + sum(rank.fixed_ms / rank.slowness for rank in ranks)
    return max(work_ms / speed, *(rank.fixed_ms for rank in ranks))


def partition(block_ms: Sequence[float], ranks: Sequence[RankLoad]) -> tuple[range, ...]:
    """The contiguous ranges of blocks, in the order of the ranks, whose slowest rank is fastest.

    Args:
        block_ms: nominal time of each block.
        ranks: the ranks in pipeline order.

    Raises:
        ValueError: if there are no ranks, or too few or too many blocks for them.
    """
    blocks = len(block_ms)
    _check_fit(blocks, ranks)
    before_ms = [0.0, *accumulate(block_ms)]
    # best[end]: smallest bottleneck if the ranks so far hold the blocks before `end`
    # cuts[rank][end]: the first block of that rank in this solution
    best = [0.0] + [math.inf] * blocks
    cuts: list[list[int]] = []
    for rank in ranks:
        most = blocks if rank.max_blocks is None else rank.max_blocks
        next_best = [math.inf] * (blocks + 1)
        cut = [0] * (blocks + 1)
        for end in range(blocks + 1):
            for start in range(max(0, end - most), end - rank.min_blocks + 1):
                load_ms = rank.fixed_ms + rank.slowness * (before_ms[end] - before_ms[start])
                if (worst := max(best[start], load_ms)) < next_best[end]:
                    next_best[end], cut[end] = worst, start
        best = next_best
        cuts.append(cut)
    ranges: list[range] = []
    end = blocks
    for cut in reversed(cuts):
        ranges.append(range(cut[end], end))
        end = cut[end]
    return tuple(reversed(ranges))


def _check_fit(blocks: int, ranks: Sequence[RankLoad]) -> None:
    least = sum(rank.min_blocks for rank in ranks)
    if not ranks or blocks < least:
        raise ValueError(
            f"{blocks} blocks cannot give {len(ranks)} ranks the {least} that they must hold, "
            "use fewer ranks"
        )
    most = sum(blocks if rank.max_blocks is None else rank.max_blocks for rank in ranks)
    if most < blocks:
        raise ValueError(
            f"{blocks} blocks do not fit into {len(ranks)} ranks with room for {most}, "
            "use more ranks, or fewer steps and streams"
        )
