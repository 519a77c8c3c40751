"""Who passes a chunk on to whom, by a plan. Pure.

A path is what a step takes through the ranks; steps that the plan gives to the same ranks share
one. Between two steps a chunk's latents go from the end of one path to the beginning of another.

The first chunk of an epoch is special: all its steps run in one cache row, and every row begins as
a copy of that one. So it takes all its steps along every path: each rank then has the row that it
would otherwise have to be sent, at the cost of a chunk that several ranks compute at once.
"""

from itertools import pairwise

from slipstream_engine.config import RankShare
from slipstream_engine.group.messages import DECODER
from slipstream_engine.parallel.message_flow import MessageFlow
from slipstream_engine.parallel.plan import PipelinePlan, Segment


class Paths:
    """The distinct paths of a plan, by number.

    Attributes:
        segments: of each path, in order.
    """

    def __init__(self, plan: PipelinePlan) -> None:
        self.plan = plan
        by_step = [plan.path(step) for step in range(plan.steps)]
        self.segments: tuple[tuple[Segment, ...], ...] = tuple(dict.fromkeys(by_step))
        self._of_step = [self.segments.index(path) for path in by_step]

    def of_step(self, step: int) -> int:
        return self._of_step[step]

    def begun_by(self, *, steps: int, is_first: bool) -> tuple[int, ...]:
        """The paths that a chunk's latents are sent to once it is encoded."""
        if not is_first:
            return (self._of_step[0],)
        return tuple(dict.fromkeys(self._of_step[:steps]))

    def taken_by(self, step: int, *, steps: int, is_first: bool) -> tuple[int, ...]:
        """The paths that a step of a chunk takes."""
        return self.begun_by(steps=steps, is_first=True) if is_first else (self._of_step[step],)

    def after(self, path: int, step: int, *, steps: int, is_first: bool) -> int | None:
        """What goes on with a chunk after a step: a path or `DECODER`; None for nothing."""
        if step + 1 == steps:
            return DECODER if path == self._of_step[step] else None
        return path if is_first else self._of_step[step + 1]

    def first_rank(self, path: int) -> int:
        """The rank that begins a path; `DECODER` is one, too."""
        return self.plan.decode_rank if path == DECODER else self.segments[path][0].rank

    def last_rank(self, path: int) -> int:
        return self.segments[path][-1].rank

    def pairs(self) -> tuple[tuple[int, int, MessageFlow], ...]:
        """All pairs of ranks, sender first, that may ever exchange anything, with the flow."""
        plan = self.plan
        found = {
            (0, plan.encode_rank, MessageFlow.ENCODE),
            (0, plan.decode_rank, MessageFlow.ENCODE),
        }
        found.add((plan.decode_rank, 0, MessageFlow.DECODE))
        for path in self.segments:
            ranks = [segment.rank for segment in path]
            found.add((plan.encode_rank, ranks[0], MessageFlow.ENCODE))
            found.add((ranks[-1], plan.decode_rank, MessageFlow.STEPS))
            found |= {(*pair, MessageFlow.STEPS) for pair in pairwise(ranks)}
            for other in self.segments:
                found.add((ranks[-1], other[0].rank, MessageFlow.STEPS))
                found |= {
                    (one.rank, two.rank, MessageFlow.STEPS) for one in path for two in other
                }  # rows
        return tuple(sorted(pair for pair in found if pair[0] != pair[1]))


def share_of(plan: PipelinePlan, rank: int) -> RankShare:
    """What a rank holds of the model."""
    steps = {step for segment in plan.segments_of(rank) for step in segment.steps}
    return RankShare(
        blocks=tuple(sorted(plan.weights_of(rank))),
        steps=tuple(sorted(steps)),
        codes=rank in (plan.encode_rank, plan.decode_rank),
        leads=rank == 0,
    )
