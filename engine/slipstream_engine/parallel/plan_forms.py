"""The usual plans: ranks share the blocks of each step, the steps, or both. Pure.

    layers           each rank holds a part of weights and caches; activations travel
    steps            each rank holds all weights and the caches of its steps; only latents travel
    layers x steps   groups of ranks share the steps, ranks of a group the blocks

Ranks that share steps take them in turn (0, 1, 0, 1 for four steps on two ranks), so that a stream
of fewer steps than the plan has room for is shared out, too.
"""

from collections.abc import Sequence
from itertools import pairwise

from slipstream_engine.parallel.plan import PipelinePlan, Segment


def grouped_plan(
    groups: Sequence[Sequence[range]],
    *,
    steps: int,
    encode_rank: int | None = None,
    decode_rank: int | None = None,
) -> PipelinePlan:
    """The plan in which groups of ranks take the steps in turn: layers, steps or both.

    One group is the form *layers*, groups of one range each are the form *steps*.

    Args:
        groups: for each group the blocks of its ranks, in order; ranks are numbered through. A rank
            of the codec alone has an empty range.
        encode_rank: None for the first rank.
        decode_rank: None for the last rank.

    Raises:
        ValueError: if there are more groups than steps, or the `PipelinePlan` is not sound.
    """
    if not groups or len(groups) > steps:
        raise ValueError(
            f"{len(groups)} groups of ranks cannot share {steps} steps, each must have one; "
            "use fewer groups, and layers within them"
        )
    members = [(group, blocks) for group, ranges in enumerate(groups) for blocks in ranges]
    return PipelinePlan(
        ranks=len(members),
        steps=steps,
        blocks=max((blocks.stop for _, blocks in members), default=0),
        encode_rank=0 if encode_rank is None else encode_rank,
        decode_rank=len(members) - 1 if decode_rank is None else decode_rank,
        segments=tuple(
            Segment(
                rank=rank,
                steps=tuple(range(group, steps, len(groups))),
                first_block=blocks.start,
                end_block=blocks.stop,
            )
            for rank, (group, blocks) in enumerate(members)
            if blocks
        ),
    )


def layers_plan(ranges: Sequence[range], *, steps: int) -> PipelinePlan:
    """Ranks share the blocks; the first also encodes, the last decodes."""
    return grouped_plan([ranges], steps=steps)


def steps_plan(*, ranks: int, steps: int, blocks: int) -> PipelinePlan:
    """Ranks share the steps; the first also encodes, the last decodes."""
    return grouped_plan([[range(blocks)]] * ranks, steps=steps)


def even_ranges(blocks: int, ranks: int) -> tuple[range, ...]:
    """Blocks in as many ranges that differ by one at most, before anything is measured.

    Raises:
        ValueError: if there is not a block for each.
    """
    if not 1 <= ranks <= blocks:
        raise ValueError(
            f"{ranks} ranks cannot share {blocks} blocks, each must have one; "
            f"use 1 to {blocks} devices, or share the steps, too"
        )
    cuts = [blocks * rank // ranks for rank in range(ranks + 1)]
    return tuple(range(*pair) for pair in pairwise(cuts))
