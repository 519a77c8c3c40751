"""One stream as the loop sees it: what has been asked of it, and its chunks under way."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from slipstream_protocol.arena import Slots
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.messages import ChunkIn, ChunkOut, SlotFree, StageTimes, Update

from slipstream_engine.scheduling.types import Stage
from slipstream_engine.serving.pipeline_protocol import PipelineStream

ChunkT = TypeVar("ChunkT")

# updates and chunks that may wait for the chunk before them; the server sends one at a time
MAX_WAITING_MESSAGES = 64


@dataclass(slots=True, kw_only=True, eq=False)
class InFlightChunk(Generic[ChunkT]):
    """A chunk from its offer to its end.

    Args:
        message: that announced it.
        rev: of the newest update it is made with, known once it is encoded; so is `taken_ns`.
        chunk: the pipeline's own, from `encode` on.
        holds_input: its input slot is not the server's yet.
        slot: of its output, from `decode` on.
    """

    message: ChunkIn
    rev: int = -1
    taken_ns: int = 0
    chunk: ChunkT | None = None
    holds_input: bool = True
    slot: int = -1
    _spent_ns: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))

    @property
    def begun(self) -> ChunkT:
        """The pipeline's chunk."""
        assert self.chunk is not None, "a chunk is encoded first"
        return self.chunk

    @property
    def input_slot(self) -> SlotFree:
        """What gives its input slot back."""
        return SlotFree(lane=self.message.lane, slot=self.message.slot)

    def spend(self, stage: Stage, duration_ns: int) -> None:
        """A pass that it was part of has taken this long."""
        self._spent_ns[stage] += duration_ns

    def out(self, *, made_ns: int) -> ChunkOut:
        """The message that hands it over."""
        encode_ms, denoise_ms, decode_ms = (self._spent_ns[s] / NS_PER_MS for s in Stage)
        message = self.message
        return ChunkOut(
            lane=message.lane,
            slot=self.slot,
            chunk=message.chunk,
            frames=message.frames,
            rev=self.rev,
            taken_ns=self.taken_ns,
            made_ns=made_ns,
            stages=StageTimes(encode_ms=encode_ms, denoise_ms=denoise_ms, decode_ms=decode_ms),
        )


@dataclass(slots=True, kw_only=True, eq=False)
class StreamSlot(Generic[ChunkT]):
    """A stream and its place in the channel's order.

    Args:
        waiting: what came after a chunk that is not begun, in order: an update among it must not
            reach that chunk.
        flights: offered and not ended, by the number that the scheduler knows them by.
        offered: offers so far.
        next_chunk: number of the next chunk as the server counts.
        rev: of the newest update applied.
    """

    number: int
    stream: PipelineStream[ChunkT]
    outputs: Slots
    waiting: deque[Update | ChunkIn] = field(default_factory=deque)
    flights: dict[int, InFlightChunk[ChunkT]] = field(default_factory=dict)
    offered: int = 0
    next_chunk: int = 0
    rev: int = -1
