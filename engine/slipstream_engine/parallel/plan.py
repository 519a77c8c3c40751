"""Which rank runs what: encode, each block of each denoising step, decode; a file form. Pure.

A denoising step is a walk through all blocks of the transformer. A `Segment` gives a rank a
contiguous range of blocks of some steps; a `PipelinePlan` covers every (step, block) exactly once.
Within a step the ranks rise with the blocks, so activations only ever travel forward; between two
steps of a chunk only its latents travel. The rank of a step's first segment embeds the patches,
that of its last runs the head. `plan_forms.py` builds the usual forms, but any plan that passes the
checks can be run.

In a file a plan is JSON:

    {"ranks": 2, "steps": 2, "blocks": 30, "encode_rank": 0, "decode_rank": 1,
     "segments": [
        {"rank": 0, "steps": [0, 1], "first_block": 0, "end_block": 15},
        {"rank": 1, "steps": [0, 1], "first_block": 15, "end_block": 30}]}
"""

import msgspec
from slipstream_protocol.parameters import MAX_STEPS


class Segment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contiguous range of blocks, of one or more steps, on one rank.

    Args:
        rank: that holds the weights and the caches of these blocks.
        steps: the numbers of the denoising steps, from 0, rising.
        first_block, end_block: the first block, and the one after the last.

    Raises:
        ValueError: if there is no block or no step in it, or the steps do not rise.
    """

    rank: int
    steps: tuple[int, ...]
    first_block: int
    end_block: int

    def __post_init__(self) -> None:
        if not 0 <= self.first_block < self.end_block:
            raise ValueError(
                f"rank {self.rank} has blocks {self.first_block} to {self.end_block}, end_block "
                "must be above first_block and that at least 0; leave out a segment without blocks"
            )
        if not self.steps or list(self.steps) != sorted(set(self.steps)):
            raise ValueError(
                f"rank {self.rank} has steps {list(self.steps)}, they must rise; "
                "name each once, and at least one"
            )

    @property
    def blocks(self) -> range:
        """The numbers of its blocks."""
        return range(self.first_block, self.end_block)


class PipelinePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model runs; see the module.

    Args:
        ranks: number of devices; ranks are numbered from 0 in their order.
        steps: the most denoising steps a stream can have; one of n steps uses the first n.
        blocks: of the transformer.
        encode_rank, decode_rank: the ranks of the codec's halves.
        segments: in any order.

    Raises:
        ValueError: if a block of a step has no rank or two, a rank is unknown or has nothing to do,
            or the ranks of a step do not rise with its blocks.
    """

    ranks: int
    steps: int
    blocks: int
    encode_rank: int
    decode_rank: int
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        for name in ("ranks", "steps", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.steps > MAX_STEPS:
            raise ValueError(f"steps is {self.steps}, it must be at most {MAX_STEPS}")
        self._check_ranks()
        for segment in self.segments:
            if not 0 <= segment.steps[0] <= segment.steps[-1] < self.steps:
                raise ValueError(
                    f"rank {segment.rank} has steps {list(segment.steps)}, the plan has steps 0 to "
                    f"{self.steps - 1}; raise its steps or take these out"
                )
        for step in range(self.steps):
            self._check_path(step)

    @property
    def form(self) -> str:
        """How the ranks share the transformer, for people."""
        by_layers = any(len(self.path(step)) > 1 for step in range(self.steps))
        by_steps = any(len(segment.steps) < self.steps for segment in self.segments)
        names = [name for name, used in (("layers", by_layers), ("steps", by_steps)) if used]
        return " x ".join(names) or "one rank"

    def path(self, step: int) -> tuple[Segment, ...]:
        """The segments that a step passes, in order."""
        passed = (segment for segment in self.segments if step in segment.steps)
        return tuple(sorted(passed, key=_first_block))

    @property
    def rank_paths(self) -> tuple[tuple[int, ...], ...]:
        """The ranks that a step passes, in order, once for all steps of the same segments."""
        return tuple(tuple(part.rank for part in path) for path in self._distinct_paths())

    @property
    def path_of_step(self) -> tuple[int, ...]:
        """For each step, which of the `rank_paths` it takes."""
        paths = self._distinct_paths()
        return tuple(paths.index(self.path(step)) for step in range(self.steps))

    def segments_of(self, rank: int) -> tuple[Segment, ...]:
        """What a rank runs of the transformer; nothing on a rank of the codec alone."""
        return tuple(segment for segment in self.segments if segment.rank == rank)

    def blocks_of(self, rank: int, step: int) -> range:
        """The blocks of a step that a rank runs, and whose caches it holds."""
        for segment in self.segments_of(rank):
            if step in segment.steps:
                return segment.blocks
        return range(0)

    def weights_of(self, rank: int) -> frozenset[int]:
        """The blocks whose weights a rank must hold, whatever the step."""
        return frozenset(block for segment in self.segments_of(rank) for block in segment.blocks)

    def _distinct_paths(self) -> list[tuple[Segment, ...]]:
        return list(dict.fromkeys(self.path(step) for step in range(self.steps)))

    def _check_ranks(self) -> None:
        most = self.blocks * self.steps + 2
        if self.ranks > most:
            raise ValueError(
                f"ranks is {self.ranks}, but encode, decode and {self.blocks} blocks of "
                f"{self.steps} steps are work for at most {most}; use fewer devices"
            )
        named = [
            ("encode_rank", self.encode_rank),
            ("decode_rank", self.decode_rank),
            *(("rank of a segment", segment.rank) for segment in self.segments),
        ]
        for name, rank in named:
            if not 0 <= rank < self.ranks:
                raise ValueError(
                    f"{name} is {rank}, the plan has ranks 0 to {self.ranks - 1}; "
                    "name one of these or raise its ranks"
                )
        busy = {rank for _, rank in named}
        if len(busy) < self.ranks:
            idle = next(rank for rank in range(self.ranks) if rank not in busy)
            raise ValueError(f"rank {idle} has nothing to do; give it a part or leave it out")

    def _check_path(self, step: int) -> None:
        end, last_rank = 0, -1
        for segment in self.path(step):
            if segment.first_block > end:
                raise ValueError(_hole(step, end, segment.first_block))
            if segment.first_block < end:
                raise ValueError(
                    f"block {segment.first_block} of step {step} is on rank {last_rank} and on "
                    f"rank {segment.rank}; give it to one of them"
                )
            if segment.rank <= last_rank:
                raise ValueError(
                    f"step {step} goes from rank {last_rank} to rank {segment.rank} at block "
                    f"{segment.first_block}, ranks must rise with the blocks; swap them or join "
                    "segments of one rank"
                )
            end, last_rank = segment.end_block, segment.rank
        if end < self.blocks:
            raise ValueError(_hole(step, end, self.blocks))
        if end > self.blocks:
            raise ValueError(
                f"rank {last_rank} has blocks up to {end - 1} of step {step}, the plan has blocks "
                f"0 to {self.blocks - 1}; this plan is for another model, or its blocks is wrong"
            )


def read_plan(text: bytes | str) -> PipelinePlan:
    """The plan of a JSON file.

    Raises:
        ValueError: if it is not one, or not sound; the text names the place and the rule.
    """
    return msgspec.json.decode(text, type=PipelinePlan)


def write_plan(plan: PipelinePlan) -> bytes:
    """The JSON of a plan, for people: `read_plan` gives the same plan back."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n"


def _first_block(segment: Segment) -> int:
    return segment.first_block


def _hole(step: int, first: int, end: int) -> str:
    blocks = f"block {first}" if end == first + 1 else f"blocks {first} to {end - 1}"
    return f"{blocks} of step {step} have no rank; give them to one"
