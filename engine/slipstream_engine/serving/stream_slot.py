"""One stream as the loop holds it: messages that wait, and chunks in flight."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from msgspec import UNSET
from slipstream_protocol.arena import Slots
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import (
    Applied,
    ChunkIn,
    ChunkOut,
    StageTimes,
    Update,
    UpdateRefused,
)
from slipstream_protocol.parameters import Parameters, Prompts

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
        is_first: the stream begins with it, or begins anew at its size: it is not left out.
        rev: of the newest update it is generated with, known once it is encoded.
        taken_ns: when its encoding began.
        pipeline_chunk: the pipeline's own, once it is encoded.
        output_slot: of its frames, once it is decoded.
    """

    message: ChunkIn
    is_first: bool = False
    rev: int = -1
    taken_ns: int = 0
    pipeline_chunk: ChunkT | None = None
    output_slot: int = -1
    _stage_ns: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))

    @property
    def encoded(self) -> ChunkT:
        """The pipeline's chunk."""
        assert self.pipeline_chunk is not None, "a chunk is encoded first"
        return self.pipeline_chunk

    def add_pass(self, stage: Stage, duration_ns: int) -> None:
        """A pass that it was part of has taken this long."""
        self._stage_ns[stage] += duration_ns

    def output(self, *, ended_ns: int) -> ChunkOut:
        """The message that hands its frames over, its decoding having ended then."""
        encode_ms, denoise_ms, decode_ms = (self._stage_ns[s] / NS_PER_MS for s in Stage)
        message = self.message
        return ChunkOut(
            lane=message.lane,
            slot=self.output_slot,
            chunk=message.chunk,
            frames=message.frames,
            rev=self.rev,
            taken_ns=self.taken_ns,
            made_ns=ended_ns,
            size=message.size,
            stages=StageTimes(encode_ms=encode_ms, denoise_ms=denoise_ms, decode_ms=decode_ms),
        )


@dataclass(slots=True, kw_only=True, eq=False)
class StreamSlot(Generic[ChunkT]):
    """A stream on its lane.

    Args:
        lane: its number.
        pipeline_stream: the pipeline's own.
        outputs: the output slots that are free.
        waiting_messages: what came after a chunk that is not begun, in order: an update among it
            must not reach that chunk.
        in_flight: chunks offered and not ended, by their number in the scheduler.
        offers: to the scheduler so far; the next one has this number.
        next_chunk: number of the next chunk as the server counts.
        size: of the newest chunk's frames.
        rev: of the newest update applied.
    """

    lane: int
    pipeline_stream: PipelineStream[ChunkT]
    size: FrameSize
    outputs: Slots
    waiting_messages: deque[Update | ChunkIn] = field(default_factory=deque)
    in_flight: dict[int, InFlightChunk[ChunkT]] = field(default_factory=dict)
    offers: int = 0
    next_chunk: int = 0
    rev: int = -1

    def update(
        self, parameters: Parameters, understood: Callable[[Prompts], str]
    ) -> Applied | UpdateRefused:
        """Change the stream from its next chunk on; returns the answer to the server.

        Args:
            understood: see `Pipeline.understood`.
        """
        rev = self.rev if parameters.rev is UNSET else parameters.rev
        try:
            self.pipeline_stream.apply(parameters)
        except ValueError as error:
            return UpdateRefused(lane=self.lane, rev=rev, reason=str(error))
        self.rev = rev
        return Applied(
            lane=self.lane,
            rev=rev,
            chunk=self.next_chunk,
            understood=understood(self.pipeline_stream.prompts),
        )
