"""The engine's only loop: a message, what it asks for, the answer."""

import logging
from collections import deque
from dataclasses import dataclass, field

from msgspec import UNSET
from slipstream_protocol.arena import Arena, Slots
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import now_ns
from slipstream_protocol.messages import (
    Applied,
    ChunkIn,
    ChunkOut,
    CloseStream,
    Failed,
    OpenStream,
    Ready,
    SlotFree,
    SlotRead,
    Stop,
    StreamClosed,
    StreamOpened,
    StreamRefused,
    Update,
    UpdateRefused,
)

from slipstream_engine.pipeline import AdmissionError, Pipeline, Stream

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lane:
    """A stream and where its chunks go.

    `waiting` are chunks that found no free output slot: a viewer who does not take what is made
    holds up only this lane, and the frames are dropped before they are computed.
    """

    stream: Stream
    outputs: Slots
    rev: int = -1
    next_chunk: int = 0
    waiting: deque[ChunkIn] = field(default_factory=deque)


class Loop:
    """Serves chunks of any number of streams until the server hangs up.

    The channel's order is the order of events: what is sent before a chunk applies to it, what is
    sent after does not. A stream that fails is closed and reported; the others go on.

    Args:
        pipeline: warm already.
        channel: to the server.
        arena: of the pipeline's geometry.
    """

    def __init__(self, pipeline: Pipeline, channel: Channel, arena: Arena) -> None:
        self._pipeline = pipeline
        self._channel = channel
        self._arena = arena
        self._lanes: dict[int, _Lane] = {}

    def run(self) -> None:
        """Serve until told to stop, or until the server is gone."""
        try:
            self._announce()
            self._serve()
        except ChannelClosed:
            logger.info("the server is gone")

    def _serve(self) -> None:
        for message in self._channel:
            match message:
                case ChunkIn(lane=number):
                    if lane := self._lanes.get(number):
                        lane.waiting.append(message)
                        self._work(number, lane)
                case SlotRead(lane=number, slot=slot):
                    if lane := self._lanes.get(number):
                        lane.outputs.give(slot)
                        self._work(number, lane)
                case Update():
                    self._update(message)
                case OpenStream():
                    self._open(message)
                case CloseStream(lane=number):
                    self._lanes.pop(number, None)
                    self._channel.send(StreamClosed(lane=number))
                case Stop():
                    return

    def _announce(self) -> None:
        pipeline, layout = self._pipeline, self._arena.layout
        ready = Ready(
            pipeline=pipeline.name,
            preset=pipeline.preset,
            geometry=pipeline.geometry,
            lanes=layout.lanes,
            in_slots=layout.in_slots,
            out_slots=layout.out_slots,
            defaults=pipeline.defaults,
            step_list=pipeline.step_list,
            noise_scale_range=pipeline.noise_scale_range,
            styles=pipeline.styles,
            note=pipeline.note,
        )
        self._channel.send(ready, [self._arena.descriptor])

    def _open(self, message: OpenStream) -> None:
        number = message.lane
        try:
            if number in self._lanes or not 0 <= number < self._arena.layout.lanes:
                raise ValueError(f"lane {number} is taken or not one of {self._arena.layout.lanes}")
            stream = self._pipeline.open(self._pipeline.defaults.merged(message.parameters))
        except (AdmissionError, ValueError) as error:
            retry_after_s = error.retry_after_s if isinstance(error, AdmissionError) else 0.0
            self._channel.send(
                StreamRefused(lane=number, reason=str(error), retry_after_s=retry_after_s)
            )
            return
        outputs = Slots(self._arena.layout.out_slots, owned=True)
        self._lanes[number] = _Lane(stream, outputs)
        self._channel.send(StreamOpened(lane=number))
        logger.info("stream opened on lane %s", number)

    def _update(self, message: Update) -> None:
        lane = self._lanes.get(message.lane)
        if lane is None:
            return
        parameters = message.parameters
        rev = lane.rev if parameters.rev is UNSET else parameters.rev
        try:
            lane.stream.apply(parameters)
        except ValueError as error:
            self._channel.send(UpdateRefused(lane=message.lane, rev=rev, reason=str(error)))
            return
        lane.rev = rev
        self._channel.send(
            Applied(lane=message.lane, rev=rev, chunk=lane.next_chunk, prompts=lane.stream.prompts)
        )

    def _work(self, number: int, lane: _Lane) -> None:
        """Run what waits on a lane, as long as there is a place for the result."""
        while lane.waiting and (slot := lane.outputs.take()) is not None:
            message = lane.waiting.popleft()
            try:
                made = self._step(lane, message, slot)
            except Exception as error:  # whatever a model throws ends its own stream only
                logger.exception("stream on lane %s failed at chunk %s", number, message.chunk)
                self._lanes.pop(number)
                self._channel.send(Failed(lane=number, reason=f"{type(error).__name__}: {error}"))
                return
            self._channel.send(made)
            # only now: the server then fills the slot with frames that have come meanwhile
            self._channel.send(SlotFree(lane=number, slot=message.slot))

    def _step(self, lane: _Lane, message: ChunkIn, slot: int) -> ChunkOut:
        if message.chunk != lane.next_chunk:
            raise ValueError(f"chunk is {message.chunk}, {lane.next_chunk} is next")
        taken_ns = now_ns()
        frames_THW = self._arena.input(message.lane, message.slot)[: message.frames]
        out_THW = self._arena.output(message.lane, slot)[: message.frames]
        stages = lane.stream.step(frames_THW, out_THW)
        lane.next_chunk += 1
        return ChunkOut(
            lane=message.lane,
            slot=slot,
            chunk=message.chunk,
            frames=message.frames,
            rev=lane.rev,
            taken_ns=taken_ns,
            made_ns=now_ns(),
            stages=stages,
        )
