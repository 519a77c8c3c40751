"""The passes of a group that have not ended, by what its ranks report. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from slipstream_engine.group.messages import PassEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPart:
    """What a pass does for a chunk.

    Args:
        epoch: of the plan that it runs under.
        steps: that the chunk has.
        is_first: whether the chunk is the first of an epoch of the cache.
        is_codec: it encodes or decodes, and takes no step.
        is_last: the chunk ends with it.
    """

    stream: int
    chunk: int
    epoch: int
    steps: int
    is_first: bool
    is_codec: bool = False
    is_last: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class GroupPass:
    """A stage of a chunk on its way through the ranks.

    Args:
        number: of the pass.
        part: of which chunk.
        parts: how many reports it takes.
        path: of a step that takes one; None of a stage that has none, or takes several at once.
        submitted_ns: when the ranks were told.

    Attributes:
        hops_ns: begin and end on each rank of its path, as far as they are known.
        busy_ns: what each rank has worked for it.
    """

    number: int
    part: ChunkPart
    parts: int
    submitted_ns: int
    path: int | None = None
    hops_ns: dict[int, tuple[int, int]] = field(default_factory=dict)
    busy_ns: dict[int, int] = field(default_factory=dict)
    ended_parts: int = 0
    began_ns: int = 0
    ended_ns: int = 0

    @property
    def has_ended(self) -> bool:
        return self.ended_parts == self.parts

    def hop_ns(self, hop: int) -> tuple[int, int] | None:
        """When it began on a rank of its path, and left it; None if it has not.

        Where it has no path, or several, it is one hop, which ends with it.
        """
        if self.path is None:
            return (self.began_ns, self.ended_ns) if self.has_ended and not hop else None
        return self.hops_ns.get(hop)


@dataclass(slots=True)
class RankTime:
    """What a rank has done.

    Args:
        busy_ns: in parts of passes.
        parts: how many.
        sent_bytes: to other ranks.
    """

    busy_ns: int = 0
    parts: int = 0
    sent_bytes: int = 0


@dataclass(slots=True)
class Passes:
    """Submitted passes, oldest first, and the time of each rank.

    Attributes:
        by_rank: what each rank has done.
    """

    ranks: int
    by_rank: list[RankTime] = field(init=False)
    _under_way: dict[int, GroupPass] = field(default_factory=dict)
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.by_rank = [RankTime() for _ in range(self.ranks)]

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def add(self, submitted: GroupPass) -> None:
        self._under_way[submitted.number] = submitted

    def report(self, ended: PassEnded) -> GroupPass | None:
        """A rank has ended its part; returns the pass if it has ended."""
        rank, busy_ns = self.by_rank[ended.rank], ended.ended_ns - ended.began_ns
        rank.busy_ns += busy_ns
        rank.parts += 1
        rank.sent_bytes = ended.sent_bytes
        known = self._under_way[ended.number]
        known.began_ns = min(known.began_ns or ended.began_ns, ended.began_ns)
        known.ended_ns = max(known.ended_ns, ended.ended_ns)
        known.busy_ns[ended.rank] = known.busy_ns.get(ended.rank, 0) + busy_ns
        known.ended_parts += 1
        if ended.path == known.path:
            known.hops_ns[ended.place] = ended.began_ns, ended.ended_ns
        if not known.has_ended:
            return None
        return self._under_way.pop(ended.number)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest that has not ended was submitted."""
        return next((one.submitted_ns for one in self._under_way.values()), None)

    def __iter__(self) -> Iterator[GroupPass]:
        return iter(self._under_way.values())

    def __len__(self) -> int:
        return len(self._under_way)
