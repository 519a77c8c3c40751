"""The engine's only loop: take what the server says, run the next pass, hand over what is done."""

import logging
from collections.abc import Iterable
from time import thread_time_ns
from typing import Generic, TypeVar

from msgspec import UNSET
from slipstream_protocol.arena import Arena, Slots
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.messages import (
    Applied,
    ChunkDropped,
    ChunkIn,
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
    ToEngine,
    Update,
    UpdateRefused,
)
from slipstream_protocol.turnover import TurnoverEstimator

from slipstream_engine.errors import AdmissionError
from slipstream_engine.scheduling.input_credits import CreditQueue
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import Batch, DropCause, Prefetch, Stage
from slipstream_engine.serving.calibration import default_latency_model, longest_chunk_ms
from slipstream_engine.serving.executor import PassExecutor
from slipstream_engine.serving.pipeline_protocol import Pipeline, PipelineStream
from slipstream_engine.serving.stats import LoopStats
from slipstream_engine.serving.stream_slot import MAX_WAITING_MESSAGES, InFlightChunk, StreamSlot

logger = logging.getLogger(__name__)

ChunkT = TypeVar("ChunkT")

AGE_TARGET_NS = NS_PER_S
_READ_AT_ONCE = 32  # messages between two passes: a flood must not hold up the streams
_LOOK_AGAIN_S = 0.01  # where a chunk waits for its time and nothing runs


class Loop(Generic[ChunkT]):
    """Serves chunks of any number of streams until the server hangs up.

    The channel's order is the order of events of each stream: what is sent before a chunk applies
    to it, what is sent after does not. Which stream goes next the scheduler says, micro-step by
    micro-step. A stream that fails is closed and reported; the others go on.

    Args:
        pipeline: warm already.
        channel: to the server.
        arena: of the pipeline's geometry.
        age_target_ns: a chunk should be made before its oldest frame is older. Each stream is
            promised a chunk in half of that: one is collected while the one before is made.
        latency: what has been learnt of this pipeline so far, see `serving/calibration.py`.
        note: what there is to say besides the pipeline's own note, for people.
    """

    def __init__(
        self,
        pipeline: Pipeline[ChunkT],
        channel: Channel,
        arena: Arena,
        *,
        age_target_ns: int = AGE_TARGET_NS,
        latency: LatencyModel | None = None,
        note: str = "",
    ) -> None:
        self._pipeline = pipeline
        self._note = note
        self._channel = channel
        self._arena = arena
        self._age_target_ns = age_target_ns
        self._period_ns = max(age_target_ns // 2, 1)
        latency = latency or default_latency_model()
        self._chunk_ms = longest_chunk_ms(latency, steps=len(pipeline.step_list))
        self._scheduler = Scheduler(latency, max_batch=pipeline.max_batch)
        self._device = PassExecutor(pipeline, arena)
        self._turns = CreditQueue()
        self.tally = LoopStats()
        self._places = TurnoverEstimator(since_ns=now_ns())
        self._lanes: dict[int, StreamSlot[ChunkT]] = {}
        self._stopped = False

    def run(self) -> None:
        """Serve until told to stop, or until the server is gone."""
        try:
            self._announce()
            self._serve()
        except ChannelClosed:
            logger.info("the server is gone")

    def _serve(self) -> None:
        while not self._stopped:
            began_ns, within_ns = thread_time_ns(), self.tally.within_ns
            batch = self._scheduler.next_batch(now_ns())
            self._report_drops()
            if batch is not None:
                self._free(self._turns.due(is_last=self._scheduler.is_last(batch)))
                self._run(batch)
            else:
                self._free(self._turns.all_due())
            self._read(self._patience_s(is_busy=batch is not None))
            if batch is not None:
                within_ns = self.tally.within_ns - within_ns
                self.tally.overhead_ns += thread_time_ns() - began_ns - within_ns

    def _read(self, patience_s: float | None) -> None:
        for _ in range(_READ_AT_ONCE):
            message = self._channel.receive(patience_s)
            if message is None:
                return
            self._take(message)
            patience_s = 0.0

    def _patience_s(self, *, is_busy: bool) -> float | None:
        if is_busy:
            return 0.0
        waits = any(lane.flights for lane in self._lanes.values())
        return _LOOK_AGAIN_S if waits else None

    # ---- what the server says

    def _take(self, message: ToEngine) -> None:
        match message:
            case OpenStream():
                self._open(message)
            case CloseStream(lane=number):
                self._close(number)
                self._channel.send(StreamClosed(lane=number))
            case ChunkIn(lane=number) | Update(lane=number):
                if lane := self._lanes.get(number):
                    self._enqueue(lane, message)
            case SlotRead(lane=number, slot=slot):
                if lane := self._lanes.get(number):
                    lane.outputs.give(slot)
                    self._scheduler.release(number)
            case Stop():
                self._stopped = True

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
            vocabulary=pipeline.vocabulary,
            note="; ".join(filter(None, (pipeline.note, self._note))),
        )
        self._channel.send(ready, [self._arena.descriptor])

    def _open(self, message: OpenStream) -> None:
        number = message.lane
        try:
            if number in self._lanes or not 0 <= number < self._arena.layout.lanes:
                raise ValueError(f"lane {number} is taken or not one of {self._arena.layout.lanes}")
            stream = self._admitted(message)
        except (AdmissionError, ValueError) as error:
            may_later = isinstance(error, AdmissionError)
            retry_after_s = self._places.wait_s(now_ns()) if may_later else 0.0
            self._channel.send(
                StreamRefused(lane=number, reason=str(error), retry_after_s=retry_after_s)
            )
            return
        outputs = Slots(self._arena.layout.out_slots, owned=True)
        self._lanes[number] = StreamSlot(number=number, stream=stream, outputs=outputs)
        self._scheduler.open(number, period_ns=self._period_ns)
        understood = self._pipeline.understood(stream.prompts)
        self._channel.send(StreamOpened(lane=number, understood=understood))
        logger.info("stream opened on lane %s", number)

    def _admitted(self, message: OpenStream) -> PipelineStream[ChunkT]:
        """A stream that the device can bear beside the others; alone any may try."""
        stream = self._pipeline.open(self._pipeline.defaults.merged(message.parameters))
        if self._lanes:
            asked = self._scheduler.admit(
                stream.steady_shape, now_ns=now_ns(), period_ns=self._period_ns
            )
            if asked.reason is not None:
                stream.close()
                raise AdmissionError(asked.reason)
        return stream

    def _close(self, number: int) -> None:
        lane = self._lanes.pop(number, None)
        if lane is not None:
            self._scheduler.close(number)
            self._turns.leave(number)
            self._places.left(now_ns())
            lane.stream.close()

    def _enqueue(self, lane: StreamSlot[ChunkT], message: ChunkIn | Update) -> None:
        if len(lane.waiting) < MAX_WAITING_MESSAGES:
            lane.waiting.append(message)
            self._advance(lane)
            return
        reason = (
            f"{MAX_WAITING_MESSAGES} messages wait for a chunk to begin, send no more until it has"
        )
        if isinstance(message, ChunkIn):
            self._fail(lane, reason)
        else:
            rev = -1 if message.parameters.rev is UNSET else message.parameters.rev
            self._channel.send(UpdateRefused(lane=lane.number, rev=rev, reason=reason))

    def _advance(self, lane: StreamSlot[ChunkT]) -> None:
        """Do what waits on a lane, up to a chunk that has to be begun first."""
        while lane.waiting and self._scheduler.has_room(lane.number):
            message = lane.waiting.popleft()
            if isinstance(message, Update):
                self._update(lane, message)
            elif message.chunk == lane.next_chunk:
                lane.next_chunk += 1
                self._offer(lane, message, message.captured_ns)
            else:
                self._fail(lane, f"ValueError: chunk is {message.chunk}, {lane.next_chunk} is next")
                return

    def _offer(self, lane: StreamSlot[ChunkT], message: ChunkIn, since_ns: int) -> None:
        lane.flights[lane.offered] = InFlightChunk(message=message)
        self._scheduler.offer(
            lane.number,
            lane.offered,
            now_ns=now_ns(),
            deadline_ns=since_ns + self._age_target_ns,
            shape=lane.stream.shape,
        )
        lane.offered += 1

    def _update(self, lane: StreamSlot[ChunkT], message: Update) -> None:
        parameters = message.parameters
        rev = lane.rev if parameters.rev is UNSET else parameters.rev
        try:
            lane.stream.apply(parameters)
        except ValueError as error:
            self._channel.send(UpdateRefused(lane=lane.number, rev=rev, reason=str(error)))
            return
        lane.rev = rev
        prompts = lane.stream.prompts
        self._channel.send(
            Applied(
                lane=lane.number,
                rev=rev,
                chunk=lane.next_chunk,
                prompts=prompts,
                understood=self._pipeline.understood(prompts),
            )
        )

    def _report_drops(self) -> None:
        for dropped in self._scheduler.take_dropped():
            if dropped.cause is DropCause.CLOSED:
                continue
            lane = self._lanes[dropped.stream]
            message = lane.flights.pop(dropped.chunk).message
            if message.chunk == 0:
                # no other chunk has its length, so a stream cannot begin without it: better late
                self._offer(lane, message, now_ns())
                continue
            self._channel.send(
                ChunkDropped(lane=lane.number, slot=message.slot, chunk=message.chunk)
            )
            self._advance(lane)

    # ---- what is done

    def _run(self, batch: Batch) -> None:
        lanes = [self._lanes[work.stream] for work in batch.items]
        work = [
            (lane, lane.flights[item.chunk]) for lane, item in zip(lanes, batch.items, strict=True)
        ]
        began_ns = thread_time_ns()
        done = self._device.run(batch.kind.stage, work)
        self.tally.within_ns += thread_time_ns() - began_ns
        self.tally.computed_ns += done.ended_ns - done.started_ns
        self._scheduler.done(batch, started_ns=done.started_ns, ended_ns=done.ended_ns)
        for lane, item in zip(lanes, batch.items, strict=True):
            if lane.number in done.failed:
                self._fail(lane, done.failed[lane.number])
            elif item.stage is Stage.ENCODE:
                self._begun(lane, lane.flights[item.chunk])
            elif item.stage is Stage.DECODE:
                self._hand_over(lane, lane.flights.pop(item.chunk), done.ended_ns)

    def _begun(self, lane: StreamSlot[ChunkT], flight: InFlightChunk[ChunkT]) -> None:
        if self._scheduler.prefetch(lane.number) is Prefetch.AFTER_ENCODE:
            flight.holds_input = False
            self._free([flight.input_slot])
        self._advance(lane)

    def _hand_over(
        self, lane: StreamSlot[ChunkT], flight: InFlightChunk[ChunkT], made_ns: int
    ) -> None:
        self._channel.send(flight.out(made_ns=made_ns))
        if flight.holds_input and self._scheduler.prefetch(lane.number) is Prefetch.ON_IDLE:
            self._turns.wait(flight.input_slot)
        elif flight.holds_input:
            self._free([flight.input_slot])
        if not len(lane.outputs):
            self._scheduler.hold(lane.number)

    def _free(self, slots: Iterable[SlotFree]) -> None:
        for slot in slots:
            self._channel.send(slot)

    def _fail(self, lane: StreamSlot[ChunkT], reason: str) -> None:
        logger.error("stream on lane %s failed: %s", lane.number, reason)
        self._close(lane.number)
        self._channel.send(Failed(lane=lane.number, reason=reason))
