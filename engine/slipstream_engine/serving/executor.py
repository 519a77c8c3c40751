"""Runs passes: a pipeline's stages on the arena's pixels, timed; a failure ends its own streams.

A pass is submitted, and completed later: the device is given the next one meanwhile.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar, cast

from slipstream_protocol.arena import Arena
from slipstream_protocol.clock import now_ns

from slipstream_engine.errors import DeviceLostError
from slipstream_engine.scheduling.types import Stage
from slipstream_engine.serving.pipeline_protocol import (
    Completion,
    Delivery,
    Pipeline,
    RankCompletion,
    RankGroup,
)
from slipstream_engine.serving.stream_slot import InFlightChunk, StreamSlot

logger = logging.getLogger(__name__)

ChunkT = TypeVar("ChunkT")

PassItem = tuple[StreamSlot[ChunkT], InFlightChunk[ChunkT]]
PassItems = Sequence[PassItem[ChunkT]]


@dataclass(slots=True, kw_only=True, eq=False)
class SubmittedPass(Generic[ChunkT]):
    """A pass that the device has been given.

    Args:
        completion: its end on the device; None if it has run already.
        deliveries: of decoded frames, by their place among the items.
        failures: of what failed to be submitted, by lane.
    """

    stage: Stage
    items: PassItems[ChunkT]
    submitted_ns: int
    completion: Completion | None = None
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class PassResult:
    """When a pass ran, and which streams failed in it.

    Args:
        started_ns: when the device turned to it, as far as the host can tell.
        failures: why, by lane.
    """

    started_ns: int
    ended_ns: int
    failures: dict[int, str]


class PassExecutor(Generic[ChunkT]):
    """Runs a pipeline's stages.

    Args:
        pipeline: of the streams.
        arena: where chunks come from and go to.
    """

    def __init__(self, pipeline: Pipeline[ChunkT], arena: Arena) -> None:
        self._pipeline = pipeline
        self._arena = arena
        self._has_ranks = isinstance(pipeline, RankGroup)
        self._free_ns = 0  # when the last completed pass ended

    def submit(self, stage: Stage, items: PassItems[ChunkT]) -> SubmittedPass[ChunkT]:
        """Give the device the next stage of each chunk, without waiting for it.

        Streams are encoded and decoded one after the other, so each fails alone. Those that share
        a denoising pass share its failure, for none of their caches can be trusted after it.

        Raises:
            DeviceLostError: if the device has failed for good, and with it every stream.
        """
        given = SubmittedPass(stage=stage, items=items, submitted_ns=now_ns())
        match stage:
            case Stage.ENCODE:
                for item in items:
                    self._attempt(given, [item], partial(self._encode, item))
            case Stage.DENOISE:
                self._attempt(given, items, partial(self._denoise, items))
            case Stage.DECODE:
                for place, item in enumerate(items):
                    self._attempt(given, [item], partial(self._decode, given, place, item))
        self._attempt(given, items, partial(self._mark, given))
        return given

    def complete(
        self, given: SubmittedPass[ChunkT], is_open: Callable[[StreamSlot[ChunkT]], bool]
    ) -> PassResult:
        """Wait for the end of a pass, and deliver what it has decoded; passes end in order.

        Args:
            is_open: whether a stream still wants its frames: its slot may be another's by now.
        """
        if given.completion is not None:
            self._attempt(given, given.items, given.completion.synchronize)
        for place, delivery in given.deliveries.items():
            item = given.items[place]
            deliver = delivery.finish if is_open(item[0]) else delivery.discard
            self._attempt(given, [item], deliver)
        started_ns, ended_ns = self._span_ns(given)
        for _, chunk in given.items:
            chunk.add_pass(given.stage, ended_ns - started_ns)
        return PassResult(started_ns=started_ns, ended_ns=ended_ns, failures=given.failures)

    def _span_ns(self, given: SubmittedPass[ChunkT]) -> tuple[int, int]:
        if self._has_ranks and given.completion is not None and not given.failures:
            return cast(RankCompletion, given.completion).span_ns
        started_ns = max(given.submitted_ns, self._free_ns)
        self._free_ns = ended_ns = max(now_ns(), started_ns)
        return started_ns, ended_ns

    def _attempt(
        self, given: SubmittedPass[ChunkT], items: PassItems[ChunkT], action: Callable[[], None]
    ) -> None:
        try:
            action()
        except Exception as error:  # whatever a model raises ends its own streams only
            lanes = [stream.lane for stream, _ in items]
            logger.exception("a pass of lanes %s failed", lanes)
            reason = f"{type(error).__name__}: {error}"
            self._check_device(reason)
            given.failures |= dict.fromkeys(lanes, reason)

    def _check_device(self, reason: str) -> None:
        """After an error: some of CUDA's stay, and every later call raises them again."""
        try:
            self._pipeline.finish()
        except Exception as error:
            raise DeviceLostError(
                f"the device answers nothing any more, the engine must start again: {reason}"
            ) from error

    def _mark(self, given: SubmittedPass[ChunkT]) -> None:
        given.completion = self._pipeline.submitted()

    def _encode(self, item: PassItem[ChunkT]) -> None:
        stream, chunk = item
        message = chunk.message
        chunk.taken_ns = now_ns()
        chunk.rev = stream.rev
        frames_THW = self._arena.input(message.lane, message.slot, message.size)
        chunk.pipeline_chunk = stream.pipeline_stream.encode(frames_THW[: message.frames])

    def _denoise(self, items: PassItems[ChunkT]) -> None:
        self._pipeline.denoise([chunk.encoded for _, chunk in items])

    def _decode(self, given: SubmittedPass[ChunkT], place: int, item: PassItem[ChunkT]) -> None:
        stream, chunk = item
        slot = stream.outputs.take()
        assert slot is not None, "a stream without a free output slot is held"
        chunk.output_slot = slot
        message = chunk.message
        out_THW = self._arena.output(stream.lane, slot, message.size)[: message.frames]
        delivery = stream.pipeline_stream.decode(chunk.encoded, out_THW)
        if delivery is not None:
            given.deliveries[place] = delivery
