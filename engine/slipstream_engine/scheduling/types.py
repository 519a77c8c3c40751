"""Scheduling's vocabulary: stages, ranks, micro-steps, batches, chunk shapes, drops. Pure."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec
from slipstream_protocol.frames import FrameSize


class Stage(StrEnum):
    """The parts of a chunk's computation, in order; `DENOISE` is repeated for each step."""

    ENCODE = "encode"
    DENOISE = "denoise"
    DECODE = "decode"


class DropCause(StrEnum):
    """Why a chunk was dropped."""

    REPLACED = "replaced"  # a newer chunk of its stream came while it waited
    OVERDUE = "overdue"  # it could not have been ready by its deadline
    CLOSED = "closed"  # its stream was closed


class Prefetch(StrEnum):
    """When a stream is to send its next chunk."""

    AFTER_ENCODE = "after encode"  # the next chunk follows one step behind the present one
    AFTER_OUTPUT = "after output"  # it waits on the device for others to share passes with
    ON_IDLE = "on idle"  # when the device is about to run out of work: its frames are fresher


class PassKind(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Work that can share a forward pass: the same stage of the same level, on the same rank.

    Args:
        path: of a denoising step, its number in the `Placement`; 0 elsewhere.
        hop: the place in that path, from 0.
    """

    stage: Stage
    level: str
    path: int = 0
    hop: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The rank (device) of each stage. A pass over denoising steps goes from rank to rank.

    Args:
        encode_rank, decode_rank: of the codec's halves.
        paths: the ranks that a pass visits, in order; one of them for all steps that may share it.
        path_of_step: the number of each step's path; steps beyond these begin again.

    Raises:
        ValueError: if a step has no path, or a path no rank.
    """

    encode_rank: int = 0
    decode_rank: int = 0
    paths: tuple[tuple[int, ...], ...] = ((0,),)
    path_of_step: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not self.path_of_step or not all(self.paths):
            raise ValueError("a step has no rank, name at least one path, of at least one rank")
        wrong = [path for path in self.path_of_step if not 0 <= path < len(self.paths)]
        if wrong:
            raise ValueError(f"a step has path {wrong[0]}, there are 0 to {len(self.paths) - 1}")

    @property
    def ranks(self) -> int:
        """How many there are."""
        return 1 + max(self.encode_rank, self.decode_rank, *map(max, self.paths))

    @property
    def entry_ranks(self) -> tuple[int, ...]:
        """Those that a pass may begin on: of the codec, and the first of each path."""
        firsts = {path[0] for path in self.paths}
        return tuple(sorted(firsts | {self.encode_rank, self.decode_rank}))

    def path_at(self, step: int) -> int:
        """The number of a step's path."""
        return self.path_of_step[step % len(self.path_of_step)]


ONE_RANK = Placement()


def level_at(name: str, size: FrameSize) -> str:
    """The level of that name of chunks whose frames have that size."""
    return f"{name} {size}"


def moved_level(level: str, size: FrameSize) -> str:
    """The same level for chunks of another size; itself where it names none."""
    name, separator, _ = level.partition(" ")
    return level_at(name, size) if separator else level


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkShape:
    """What has to be computed for a chunk.

    Args:
        level: names everything that must agree within a forward pass: preset, size, codec, latents.
        steps: denoising steps; 0 for a chunk that is only encoded and decoded.
        alone: no other chunk of its stream may be in flight beside it.

    Raises:
        ValueError: if the number of steps is negative.
    """

    level: str
    steps: int
    alone: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}, it must not be negative")


class MicroStep(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one chunk: `step` counts the denoising steps from 0, it is 0 elsewhere."""

    stream: int
    chunk: int
    stage: Stage
    step: int


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Micro-steps for one forward pass, at most one of any (stream, stage, step).

    Args:
        number: the same at all hops of a pass.
        rank: that runs it.
    """

    number: int
    kind: PassKind
    items: tuple[MicroStep, ...]
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedChunk:
    """A chunk that will not be computed."""

    stream: int
    chunk: int
    cause: DropCause


FIRST_STEP_POSITION = 1  # in a `StagePlan` that has steps; position 0 is the encoding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePlan:
    """The stages of a shape by position: encode, each hop of each step, decode.

    Args:
        kinds: the kind of pass at each position.
        steps: the number of the denoising step at each position, 0 for encode and decode.
        ranks: that each position runs on.
        ends: the position after the last hop of the pass at each position.
    """

    kinds: tuple[PassKind, ...]
    steps: tuple[int, ...]
    ranks: tuple[int, ...]
    ends: tuple[int, ...]

    def pass_kinds(self, position: int) -> tuple[PassKind, ...]:
        """What a pass that is entered at a position is at each of its hops."""
        return self.kinds[position : self.ends[position]]
