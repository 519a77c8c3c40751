"""Scheduling's vocabulary: stages, micro-steps, batches, chunk shapes, dropped chunks. Pure."""

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PassKind:
    """Work that can share a forward pass: the same stage of the same level."""

    stage: Stage
    level: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroStep:
    """One stage of one chunk: `step` counts the denoising steps from 0, it is 0 elsewhere."""

    stream: int
    chunk: int
    stage: Stage
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Micro-steps for one forward pass, at most one of any (stream, stage, step)."""

    number: int
    kind: PassKind
    items: tuple[MicroStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedChunk:
    """A chunk that will not be computed."""

    stream: int
    chunk: int
    cause: DropCause


FIRST_STEP_POSITION = 1  # in a `StagePlan` that has steps; position 0 is the encoding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePlan:
    """The stages of a shape by position: encode, the steps, decode.

    Args:
        kinds: the kind of pass at each position.
        steps: the number of the denoising step at each position, 0 for encode and decode.
    """

    kinds: tuple[PassKind, ...]
    steps: tuple[int, ...]
