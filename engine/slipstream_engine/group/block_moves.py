"""Under which plan a group's chunks run while blocks move, and what the ranks are told of it. Pure.

A move is decided between two chunks (`parallel/block_scheduler.py`) and has four parts:

1. `TakePlan` to all ranks: those that get blocks are sent the weights by those that have them.
2. Chunks that are begun end under the old plan, those after run under the new one.
3. `CopyRow` for the caches of each step, right before the first chunk of the new plan takes it; of
   a stream that has no chunk under way at once (`parallel/plan_switch.py`).
4. `DropPlan`, once no chunk of the old plan is under way and all caches have moved: blocks that
   went, and the room for them, are given up.

Ranks carry out orders in the order in which they get them, so nothing is waited for here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipstream_engine.group.chunk import GroupChunk
from slipstream_engine.group.messages import CopyRow, DropPlan, TakePlan, ToRank
from slipstream_engine.group.passes import GroupPass
from slipstream_engine.group.paths import Paths
from slipstream_engine.group.rank_times import RankTimes
from slipstream_engine.parallel.block_scheduler import BlockScheduler
from slipstream_engine.parallel.block_transfers import BlockTransfer
from slipstream_engine.parallel.plan import PipelinePlan
from slipstream_engine.parallel.plan_switch import PlanSwitch


@dataclass(frozen=True, slots=True)
class Order:
    """What some ranks are told."""

    ranks: tuple[int, ...]
    order: ToRank


@dataclass(slots=True)
class _Stream:
    """An open stream.

    Args:
        next_chunk: that has not begun.
        under_way: epochs of its chunks between encode and decode, oldest first.
    """

    next_chunk: int
    under_way: list[int]


class BlockMoves:
    """See the module.

    Args:
        plan: that the ranks run at first.
        scheduler: decides about moves; None where blocks stay.

    Attributes:
        paths: of new chunks.
        reason: of the newest move, for people; empty before the first.
    """

    def __init__(self, plan: PipelinePlan, scheduler: BlockScheduler | None = None) -> None:
        self._scheduler = scheduler
        self._switch = PlanSwitch(plan)
        self._streams: dict[int, _Stream] = {}
        self._times = RankTimes(plan.ranks)
        self._old_epoch = 0  # the oldest that ranks still know
        self.paths = Paths(plan)
        self.reason = ""

    @property
    def epoch(self) -> int:
        """Of the plan that new chunks run under."""
        return self._switch.epoch

    def holders(self, stream: int, step: int) -> PipelinePlan:
        """The plan by which a step's caches lie, of what has been ordered."""
        return self._switch.holder_plan(stream, step)

    def open(self, stream: int) -> None:
        """A stream begins."""
        self._streams[stream] = _Stream(next_chunk=0, under_way=[])

    def close(self, stream: int) -> Iterator[Order]:
        """A stream ends, with its chunks; to be ordered once its ranks were told."""
        del self._streams[stream]
        self._switch.close(stream)
        self._times.forget(stream)
        yield from self._end_move()

    def begin(self, stream: int, chunk: int) -> Iterator[Order]:
        """A chunk begins, under `paths` from now on; to be ordered before it."""
        yield from self._decide()
        known = self._streams[stream]
        known.next_chunk = chunk + 1
        known.under_way.append(self.epoch)

    def take_step(self, chunk: GroupChunk) -> Iterator[Order]:
        """A chunk takes its next step; to be ordered before it."""
        stream, step = chunk.stream, chunk.steps_done
        if chunk.is_first and not step and chunk.epoch == self.epoch:
            yield from self._copies(stream, self._switch.rest(stream))  # it writes all rows at once
        yield from self._copies(
            stream, self._switch.due(stream, chunk.number, step, steps=chunk.steps)
        )

    def end(self, stream: int) -> Iterator[Order]:
        """A chunk is decoded; to be ordered after that."""
        known = self._streams[stream]
        known.under_way.pop(0)
        if not known.under_way:
            yield from self._copies(stream, self._switch.rest(stream))
        yield from self._end_move()

    def passed(self, ended: GroupPass) -> None:
        """All ranks have ended a pass."""
        times = self._times.passed(ended)
        if times is not None and self._scheduler is not None:
            self._scheduler.observe(times)

    def _decide(self) -> Iterator[Order]:
        if self._scheduler is None or self._old_epoch != self.epoch:
            return  # one move after the other
        move = self._scheduler.decide()
        if move is None:
            return
        begun = {stream: known.next_chunk for stream, known in self._streams.items()}
        self._switch.begin(move, next_chunks=begun)
        self._scheduler.moved(move)
        self.paths, self.reason = Paths(move.plan), move.reason
        yield self._to_all(TakePlan(epoch=move.epoch, plan=move.plan))
        for stream, known in self._streams.items():
            if not known.under_way:
                yield from self._copies(stream, self._switch.rest(stream))
        yield from self._end_move()

    def _end_move(self) -> Iterator[Order]:
        is_under_way = any(
            epoch != self.epoch for known in self._streams.values() for epoch in known.under_way
        )
        if self._old_epoch != self.epoch and self._switch.is_over and not is_under_way:
            self._old_epoch = self.epoch
            yield self._to_all(DropPlan(epoch=self.epoch - 1))

    def _copies(self, stream: int, transfers: Sequence[BlockTransfer]) -> Iterator[Order]:
        for transfer in transfers:
            for step in transfer.steps:
                yield Order(
                    (transfer.source, transfer.target),
                    CopyRow(
                        stream=stream,
                        from_step=step,
                        to_step=step,
                        first_block=transfer.blocks.start,
                        end_block=transfer.blocks.stop,
                        source=transfer.source,
                        target=transfer.target,
                    ),
                )

    def _to_all(self, order: ToRank) -> Order:
        return Order(tuple(range(self.paths.plan.ranks)), order)
