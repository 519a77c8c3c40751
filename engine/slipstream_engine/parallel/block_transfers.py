"""Which blocks change their rank between two plans of the same form. Pure."""

from dataclasses import dataclass

from slipstream_engine.parallel.plan import PipelinePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTransfer:
    """Neighbouring blocks that move from one rank to another, with the caches of these steps.

    Args:
        source, target: ranks.
        steps: whose keys and values move, of every open stream.
        blocks: whose weights the target must have before the first chunk of the new plan.
    """

    source: int
    target: int
    steps: tuple[int, ...]
    blocks: range


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMove:
    """A plan to change to between two chunks.

    Args:
        epoch: of the new plan.
        transfers: the blocks whose caches move.
        gain_ms: by which the busiest rank becomes faster, as far as is known.
        reason: for people.
    """

    epoch: int
    plan: PipelinePlan
    transfers: tuple[BlockTransfer, ...]
    gain_ms: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightMove:
    """A block whose weights a rank gets from another one, which had them before."""

    source: int
    target: int
    block: int


def weight_moves(old: PipelinePlan, new: PipelinePlan) -> tuple[WeightMove, ...]:
    """The weights that ranks of a new plan lack, by target and block; steps share weights.

    Raises:
        ValueError: as `transfers` does.
    """
    sources = {
        (transfer.target, block): transfer.source
        for transfer in reversed(transfers(old, new))
        for block in transfer.blocks
        if block not in old.weights_of(transfer.target)
    }
    return tuple(
        WeightMove(source=source, target=target, block=block)
        for (target, block), source in sorted(sources.items())
    )


def transfers(old: PipelinePlan, new: PipelinePlan) -> tuple[BlockTransfer, ...]:
    """What has to move, in order of source, target, steps and blocks.

    Raises:
        ValueError: if the plans differ in more than who holds the blocks.
    """
    for name in ("ranks", "steps", "blocks"):
        if getattr(old, name) != getattr(new, name):
            raise ValueError(
                f"{name} is {getattr(old, name)} in one plan and {getattr(new, name)} in the "
                "other, blocks move only between plans of one size; start the ranks anew"
            )
    owners: dict[tuple[int, int, int], list[int]] = {}  # steps by source, target and block
    for step in range(old.steps):
        for block, (source, target) in enumerate(
            zip(_owners(old, step), _owners(new, step), strict=True)
        ):
            if source != target:
                owners.setdefault((source, target, block), []).append(step)
    found: list[BlockTransfer] = []
    for (source, target, block), steps in sorted(owners.items()):
        last = found[-1] if found else None
        if last and (last.source, last.target, last.steps, last.blocks.stop) == (
            source,
            target,
            tuple(steps),
            block,
        ):
            found.pop()
            first_block = last.blocks.start
        else:
            first_block = block
        found.append(
            BlockTransfer(
                source=source,
                target=target,
                steps=tuple(steps),
                blocks=range(first_block, block + 1),
            )
        )
    return tuple(found)


def _owners(plan: PipelinePlan, step: int) -> list[int]:
    return [segment.rank for segment in plan.path(step) for _ in segment.blocks]
