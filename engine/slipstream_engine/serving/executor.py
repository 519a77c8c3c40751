"""Runs passes: the pipeline's stages on the arena's pixels, timed, with what failed set apart."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from slipstream_protocol.arena import Arena
from slipstream_protocol.clock import now_ns

from slipstream_engine.scheduling.types import Stage
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.stream_slot import InFlightChunk, StreamSlot

logger = logging.getLogger(__name__)

ChunkT = TypeVar("ChunkT")

PassWork = Sequence[tuple[StreamSlot[ChunkT], InFlightChunk[ChunkT]]]


@dataclass(slots=True, kw_only=True)
class PassResult:
    """What became of a pass.

    Args:
        failed: why, by the number of the lane.
    """

    started_ns: int
    ended_ns: int = 0
    failed: dict[int, str] = field(default_factory=dict)


class PassExecutor(Generic[ChunkT]):
    """Where a pipeline computes.

    Args:
        arena: where chunks come from and go to.
    """

    def __init__(self, pipeline: Pipeline[ChunkT], arena: Arena) -> None:
        self._pipeline = pipeline
        self._arena = arena

    def run(self, stage: Stage, work: PassWork[ChunkT]) -> PassResult:
        """The next stage of each chunk.

        Streams are encoded and decoded one after the other, and fail so; those that share a
        denoising pass share its failure, for none of their caches can be trusted after it.
        """
        done = PassResult(started_ns=now_ns())
        match stage:
            case Stage.ENCODE:
                for one in work:
                    self._attempt(done, [one], self._encode)
            case Stage.DENOISE:
                self._attempt(done, work, self._denoise)
            case Stage.DECODE:
                for one in work:
                    self._attempt(done, [one], self._decode)
        done.ended_ns = now_ns()
        for _, flight in work:
            flight.spend(stage, done.ended_ns - done.started_ns)
        return done

    def _attempt(
        self, done: PassResult, work: PassWork[ChunkT], action: Callable[[PassWork[ChunkT]], None]
    ) -> None:
        try:
            action(work)
            self._pipeline.finish()
        except Exception as error:  # whatever a model throws ends its own streams only
            lanes = [lane.number for lane, _ in work]
            logger.exception("a pass of lanes %s failed", lanes)
            done.failed |= dict.fromkeys(lanes, f"{type(error).__name__}: {error}")

    def _encode(self, work: PassWork[ChunkT]) -> None:
        for lane, flight in work:
            message = flight.message
            flight.taken_ns = now_ns()
            flight.rev = lane.rev
            frames_THW = self._arena.input(message.lane, message.slot)[: message.frames]
            flight.chunk = lane.stream.encode(frames_THW)

    def _denoise(self, work: PassWork[ChunkT]) -> None:
        self._pipeline.denoise([flight.begun for _, flight in work])

    def _decode(self, work: PassWork[ChunkT]) -> None:
        for lane, flight in work:
            slot = lane.outputs.take()
            assert slot is not None, "a lane without a free output is held"
            flight.slot = slot
            out_THW = self._arena.output(lane.number, slot)[: flight.message.frames]
            lane.stream.decode(flight.begun, out_THW)
