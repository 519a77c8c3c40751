"""The words for work: a chunk's shape and path, a micro-step, a batch of them, a drop. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    ENCODE = "encode"
    DENOISE = "denoise"
    DECODE = "decode"


class DropCause(StrEnum):
    """Why a chunk was dropped."""

    REPLACED = "replaced"  # a newer one of its stream came while it waited
    OVERDUE = "overdue"  # it could not have been ready by its deadline
    CLOSED = "closed"  # its stream is gone


class Prefetch(StrEnum):
    """When a stream is to send its next chunk."""

    EARLY = "early"  # before the present one is done: it follows a step behind
    MADE = "made"  # when the present one is made: it waits for others to share passes with
    IN_TURN = "in turn"  # when the device is about to begin it: the later, the fresher


@dataclass(frozen=True, slots=True, kw_only=True)
class PassKind:
    """Work that can share a forward pass: the same stage of the same level."""

    stage: Stage
    level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkShape:
    """What a chunk asks of a device.

    Args:
        level: names everything that must agree within a forward pass: preset, size, codec, latents.
        steps: denoising steps.
        encode, decode: False where another device of a chain does that part.
        alone: nothing of its stream may be under way beside it.

    Raises:
        ValueError: if there is nothing to do.
    """

    level: str
    steps: int
    encode: bool = True
    decode: bool = True
    alone: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0 or not (self.steps or self.encode or self.decode):
            raise ValueError(f"steps is {self.steps}, a chunk must have something to do")


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroStep:
    """One micro-step: `step` counts from 0 and is 0 for encode and decode."""

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


# of `Path.orders`; encode is 0
FIRST_STEP_ORDER = 1
DECODE_ORDER = 1 << 30  # after any step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagePlan:
    """The stages of a shape in order: what each is, and where it stands among all stages."""

    kinds: tuple[PassKind, ...]
    steps: tuple[int, ...]
    orders: tuple[int, ...]
