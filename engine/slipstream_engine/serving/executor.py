"""Runs passes: a pipeline's stages on the arena's pixels, timed; a failure ends its own streams."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from slipstream_protocol.arena import Arena
from slipstream_protocol.clock import now_ns

from slipstream_engine.errors import DeviceLostError
from slipstream_engine.scheduling.types import Stage
from slipstream_engine.serving.pipeline_protocol import Pipeline
from slipstream_engine.serving.stream_slot import InFlightChunk, StreamSlot

logger = logging.getLogger(__name__)

ChunkT = TypeVar("ChunkT")

PassItems = Sequence[tuple[StreamSlot[ChunkT], InFlightChunk[ChunkT]]]


@dataclass(slots=True, kw_only=True)
class PassResult:
    """When a pass ran, and which streams failed in it.

    Args:
        failures: why, by lane.
    """

    started_ns: int
    ended_ns: int = 0
    failures: dict[int, str] = field(default_factory=dict)


class PassExecutor(Generic[ChunkT]):
    """Runs a pipeline's stages.

    Args:
        pipeline: of the streams.
        arena: where chunks come from and go to.
    """

    def __init__(self, pipeline: Pipeline[ChunkT], arena: Arena) -> None:
        self._pipeline = pipeline
        self._arena = arena

    def run(self, stage: Stage, items: PassItems[ChunkT]) -> PassResult:
        """Run the next stage of each chunk.

        Streams are encoded and decoded one after the other, so each fails alone. Those that share
        a denoising pass share its failure, for none of their caches can be trusted after it.

        Raises:
            DeviceLostError: if the device has failed for good, and with it every stream.
        """
        result = PassResult(started_ns=now_ns())
        match stage:
            case Stage.ENCODE:
                for item in items:
                    self._attempt(result, [item], self._encode)
            case Stage.DENOISE:
                self._attempt(result, items, self._denoise)
            case Stage.DECODE:
                for item in items:
                    self._attempt(result, [item], self._decode)
        result.ended_ns = now_ns()
        for _, chunk in items:
            chunk.add_pass(stage, result.ended_ns - result.started_ns)
        return result

    def _attempt(
        self,
        result: PassResult,
        items: PassItems[ChunkT],
        action: Callable[[PassItems[ChunkT]], None],
    ) -> None:
        try:
            action(items)
            self._pipeline.finish()
        except Exception as error:  # whatever a model raises ends its own streams only
            lanes = [stream.lane for stream, _ in items]
            logger.exception("a pass of lanes %s failed", lanes)
            reason = f"{type(error).__name__}: {error}"
            self._check_device(reason)
            result.failures |= dict.fromkeys(lanes, reason)

    def _check_device(self, reason: str) -> None:
        """After an error: some of CUDA's stay, and every later call raises them again."""
        try:
            self._pipeline.finish()
        except Exception as error:
            raise DeviceLostError(
                f"the device answers nothing any more, the engine must start again: {reason}"
            ) from error

    def _encode(self, items: PassItems[ChunkT]) -> None:
        for stream, chunk in items:
            message = chunk.message
            chunk.taken_ns = now_ns()
            chunk.rev = stream.rev
            frames_THW = self._arena.input(message.lane, message.slot)[: message.frames]
            chunk.pipeline_chunk = stream.pipeline_stream.encode(frames_THW)

    def _denoise(self, items: PassItems[ChunkT]) -> None:
        self._pipeline.denoise([chunk.encoded for _, chunk in items])

    def _decode(self, items: PassItems[ChunkT]) -> None:
        for stream, chunk in items:
            slot = stream.outputs.take()
            assert slot is not None, "a stream without a free output slot is held"
            chunk.output_slot = slot
            out_THW = self._arena.output(stream.lane, slot)[: chunk.message.frames]
            stream.pipeline_stream.decode(chunk.encoded, out_THW)
