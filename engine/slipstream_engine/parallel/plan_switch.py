"""Under which plan each micro-step runs while blocks move, and what must have moved before. Pure.

A step of a stream reads and writes only its own caches, so its blocks may move as soon as the last
chunk under the old plan has passed that step: nothing has to be drained. Of each stream the chunks
that are begun end under the old plan, and those after run under the new one. Right before the first
of these takes a step, the caches of the blocks that move are sent, keys and values *with their
eviction state* (`RollingCache.row_tensors`), by order of the transfers:

    switch.begin(move, next_chunks={stream: chunk, ...})
    for transfer in switch.due(stream, chunk, step, steps=steps):
        ...  # an order to transfer.source, an order to transfer.target; then run the step

Where every rank carries out its orders in the order in which they are given, a rank that waits for
a transfer waits for orders given earlier only, so no two ranks wait for each other. A stream that
sends no chunks is moved by `rest`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from slipstream_engine.parallel.block_transfers import BlockMove, BlockTransfer
from slipstream_engine.parallel.plan import PipelinePlan


@dataclass(slots=True)
class _MovingStream:
    """A stream with caches that are to move.

    Args:
        first_chunk: under the new plan.
        steps: whose caches have not moved.
    """

    first_chunk: int
    steps: set[int]


class PlanSwitch:
    """See the module.

    Args:
        plan: that is run at first.

    Attributes:
        epoch: of the plan that new chunks run under.
    """

    def __init__(self, plan: PipelinePlan) -> None:
        self.epoch = 0
        self._plan = plan
        self._old_plan = plan
        self._transfers: tuple[BlockTransfer, ...] = ()
        self._moving: dict[int, _MovingStream] = {}

    @property
    def is_over(self) -> bool:
        """Whether all caches have moved: the next move may begin, old weights may go."""
        return not self._moving

    def begin(self, move: BlockMove, *, next_chunks: Mapping[int, int]) -> None:
        """From the next chunk of each stream on the new plan is run.

        Args:
            next_chunks: of every open stream, the first chunk that has not begun. A stream that is
                opened later has nothing to move.

        Raises:
            ValueError: if the move before is not over, or this is not the next.
        """
        if not self.is_over:
            raise ValueError(
                f"streams {sorted(self._moving)} are still moving to epoch {self.epoch}, "
                "let them end, or move the rest of them"
            )
        if move.epoch != self.epoch + 1:
            raise ValueError(f"the move has epoch {move.epoch}, it must be {self.epoch + 1}")
        self._old_plan, self._plan, self.epoch = self._plan, move.plan, move.epoch
        self._transfers = move.transfers
        steps = {step for transfer in move.transfers for step in transfer.steps}
        if steps:
            self._moving = {
                stream: _MovingStream(chunk, set(steps)) for stream, chunk in next_chunks.items()
            }

    def close(self, stream: int) -> None:
        """A stream is closed: its caches need not move."""
        self._moving.pop(stream, None)

    def holder_plan(self, stream: int, step: int) -> PipelinePlan:
        """The plan by which the caches of a step lie at present."""
        moving = self._moving.get(stream)
        return self._old_plan if moving and step in moving.steps else self._plan

    def due(self, stream: int, chunk: int, step: int, *, steps: int) -> tuple[BlockTransfer, ...]:
        """What must be sent before a chunk takes a step.

        Args:
            steps: of the chunk; with its last one the caches of steps it does not take move, too.
        """
        moving = self._moving.get(stream)
        if moving is None or chunk < moving.first_chunk:
            return ()
        is_last = step == steps - 1
        now = {held for held in moving.steps if held == step or (is_last and held >= steps)}
        return self._send(stream, moving, now)

    def rest(self, stream: int) -> tuple[BlockTransfer, ...]:
        """What a stream has not sent yet; only where none of its chunks is under way."""
        moving = self._moving.get(stream)
        return () if moving is None else self._send(stream, moving, set(moving.steps))

    def _send(self, stream: int, moving: _MovingStream, now: set[int]) -> tuple[BlockTransfer, ...]:
        moving.steps -= now
        if not moving.steps:
            del self._moving[stream]
        parts = (
            replace(transfer, steps=tuple(step for step in transfer.steps if step in now))
            for transfer in self._transfers
        )
        return tuple(part for part in parts if part.steps)
