"""The engine's only loop: read the server's messages, submit the next pass, send what is finished.

A device that works by itself is given a pass while it runs the one before, so it never waits for
the host; what a pass has made is sent when it has ended (`submitted_passes.py`).
"""

import logging
from collections.abc import Iterable
from time import thread_time_ns
from typing import Generic, TypeVar

from msgspec import UNSET
from slipstream_protocol.arena import Arena, Slots
from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.messages import (
    ChunkDropped,
    ChunkIn,
    CloseStream,
    Failed,
    OpenStream,
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

from slipstream_engine.errors import DeviceLostError
from slipstream_engine.scheduling.flow_control import FlowControl
from slipstream_engine.scheduling.input_credits import Credit
from slipstream_engine.scheduling.latency_model import LatencyModel
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import Batch, DropCause, Stage
from slipstream_engine.serving.admission import StreamAdmission
from slipstream_engine.serving.calibration import default_latency_model
from slipstream_engine.serving.executor import PassExecutor
from slipstream_engine.serving.pipeline_protocol import (
    Pipeline,
    RankCompletion,
    RankGroup,
    placement_of,
)
from slipstream_engine.serving.ready import ready_message
from slipstream_engine.serving.stats import LoopStats
from slipstream_engine.serving.stream_slot import MAX_WAITING_MESSAGES, InFlightChunk, StreamSlot
from slipstream_engine.serving.submitted_passes import MOST_PASSES, SubmittedPasses

logger = logging.getLogger(__name__)

ChunkT = TypeVar("ChunkT")

AGE_TARGET_NS = NS_PER_S
_READ_AT_ONCE = 32  # messages between two passes: a flood must not hold up the streams
_POLL_S = 0.01  # where a chunk waits for its time and no pass runs
_POLL_RANKS_S = 0.05  # where ranks are at work, which wake the loop as a rule


class Loop(Generic[ChunkT]):
    """Serves chunks of any number of streams until the server closes the channel.

    The channel's order is the order of events of each stream: what is sent before a chunk applies
    to it, what is sent after does not. The scheduler chooses each pass. A stream that fails is
    closed and reported; the others go on.

    Args:
        pipeline: warm already.
        channel: to the server.
        arena: of the pipeline's geometry.
        age_target_ns: a chunk should be finished before its oldest frame is older. A stream whose
            camera's rate is not known is promised a chunk in half of that: one is collected while
            the one before is generated.
        latency: has observed passes of this pipeline, see `serving/calibration.py`.
        note: added to the pipeline's own note, for people.
    """

    def __init__(
        self,
        pipeline: Pipeline[ChunkT],
        channel: Channel[ToEngine],
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
        self._latency = latency or default_latency_model()
        self._ranks = pipeline if isinstance(pipeline, RankGroup) else None
        self._scheduler = Scheduler(
            self._latency, max_batch=pipeline.max_batch, placement=placement_of(pipeline)
        )
        self._flow = FlowControl(self._scheduler)
        self._admission = StreamAdmission(
            pipeline,
            self._scheduler,
            lanes=arena.layout.lanes,
            period_ns=max(age_target_ns // 2, 1),
        )
        self._passes = SubmittedPasses(PassExecutor(pipeline, arena), self._ranks)
        self._entry_ranks = placement_of(pipeline).entry_ranks
        self._hops: dict[int, Batch] = {}  # of passes on their way through ranks: where each is
        self._streams: dict[int, StreamSlot[ChunkT]] = {}
        self._is_stopped = False
        self.stats = LoopStats()

    def run(self) -> None:
        """Serve until the server sends `Stop` or closes the channel.

        Raises:
            DeviceLostError: if the device has failed for good; the server has been told.
        """
        try:
            ready = ready_message(
                self._pipeline, self._arena.layout, self._latency, note=self._note
            )
            self._channel.send(ready, [self._arena.descriptor])
            self._serve()
        except ChannelClosed:
            logger.info("the server is gone")
        except DeviceLostError as error:
            self._channel.send(Failed(lane=-1, reason=str(error)))
            raise

    def _serve(self) -> None:
        while not self._is_stopped:
            started_ns, pass_cpu_ns = thread_time_ns(), self.stats.pass_cpu_ns
            is_busy = self._serve_device() if self._ranks is None else self._serve_ranks()
            if is_busy:
                pass_cpu_ns = self.stats.pass_cpu_ns - pass_cpu_ns
                self.stats.overhead_ns += thread_time_ns() - started_ns - pass_cpu_ns

    def _serve_device(self) -> bool:
        """One round; returns whether a pass was begun or has ended."""
        batch = self._scheduler.next_batch(self._passes.free_ns(now_ns()))
        self._give(batch)
        is_busy = self._complete(is_idle=batch is None) or batch is not None
        self._read(0.0 if is_busy else self._idle_wait_s)
        return is_busy

    def _serve_ranks(self) -> bool:
        """The same of a group: all that ranks may begin is given to them, then whatever happens
        next is waited for; the whole leader's work counts."""
        self._take_reports()
        self._complete(is_idle=False)
        while batch := self._next_of_ranks():
            self._give(batch)
            self._complete(is_idle=False)  # what could not be submitted
        wait_s = _POLL_RANKS_S if self._hops else self._idle_wait_s
        self._read(0.0 if self._give(None) else wait_s)
        return True

    def _give(self, batch: Batch | None) -> bool:
        """Submit a pass, or nothing, and tell the server before what is due; returns whether chunks
        were dropped, so that others may have come in their place."""
        has_dropped = self._report_drops()
        self._grant(self._flow.credits_before(batch))
        if batch is not None:
            self._submit(batch)
        return has_dropped

    # ---- from the server

    def _read(self, wait_s: float | None) -> None:
        """Handle the messages that have come; wait up to `wait_s` for the first, None: for ever."""
        wakes = () if self._ranks is None else self._ranks.wakes
        for _ in range(_READ_AT_ONCE):
            message = self._channel.receive(wait_s, or_readable=wakes)
            if message is None:
                return
            self._handle(message)
            wait_s = 0.0

    @property
    def _idle_wait_s(self) -> float | None:
        is_waiting = any(stream.in_flight for stream in self._streams.values())
        return _POLL_S if is_waiting else None

    def _handle(self, message: ToEngine) -> None:
        match message:
            case OpenStream():
                self._open(message)
            case CloseStream(lane=lane):
                self._close(lane)
                self._channel.send(StreamClosed(lane=lane))
            case ChunkIn(lane=lane) | Update(lane=lane):
                if stream := self._streams.get(lane):
                    self._enqueue(stream, message)
            case SlotRead(lane=lane, slot=slot):
                if stream := self._streams.get(lane):
                    stream.outputs.give(slot)
                    self._flow.on_output_read(lane)
            case Stop():
                self._is_stopped = True

    def _open(self, message: OpenStream) -> None:
        lane = message.lane
        pipeline_stream = self._admission.open(message, self._streams)
        if isinstance(pipeline_stream, StreamRefused):
            self._channel.send(pipeline_stream)
            return
        outputs = Slots(self._arena.layout.out_slots, owned=True)
        self._streams[lane] = StreamSlot(
            lane=lane,
            pipeline_stream=pipeline_stream,
            size=self._pipeline.geometry.size,
            outputs=outputs,
        )
        understood = self._pipeline.understood(pipeline_stream.prompts)
        alone_ms = self._admission.alone_ms(self._streams[lane])
        self._channel.send(StreamOpened(lane=lane, understood=understood, alone_ms=alone_ms))
        logger.info("stream opened on lane %s", lane)

    def _close(self, lane: int) -> None:
        stream = self._streams.pop(lane, None)
        if stream is not None:
            self._scheduler.close(lane)
            self._flow.close(lane)
            self._admission.on_closed()
            stream.pipeline_stream.close()

    def _enqueue(self, stream: StreamSlot[ChunkT], message: ChunkIn | Update) -> None:
        if len(stream.waiting_messages) < MAX_WAITING_MESSAGES:
            stream.waiting_messages.append(message)
            self._advance(stream)
            return
        reason = (
            f"{MAX_WAITING_MESSAGES} messages wait for a chunk to begin, send no more until it has"
        )
        if isinstance(message, ChunkIn):
            self._fail(stream, reason)
        else:
            rev = -1 if message.parameters.rev is UNSET else message.parameters.rev
            self._channel.send(UpdateRefused(lane=stream.lane, rev=rev, reason=reason))

    def _advance(self, stream: StreamSlot[ChunkT]) -> None:
        """Apply the messages that wait, up to a chunk behind one that is not begun."""
        while stream.waiting_messages and self._scheduler.has_room(stream.lane):
            message = stream.waiting_messages.popleft()
            if isinstance(message, Update):
                self._channel.send(self._admission.update(stream, message.parameters))
            elif reason := self._admission.accept(stream, message):
                self._fail(stream, reason)
                return
            else:
                is_first = not message.chunk or message.size != stream.size
                stream.next_chunk, stream.size = message.chunk + 1, message.size
                self._offer(stream, message, message.captured_ns, is_first=is_first)

    def _offer(
        self, stream: StreamSlot[ChunkT], message: ChunkIn, age_from_ns: int, *, is_first: bool
    ) -> None:
        stream.in_flight[stream.offers] = InFlightChunk(message=message, is_first=is_first)
        self._flow.occupy(stream.lane, stream.offers, message.slot)
        self._scheduler.offer(
            stream.lane,
            stream.offers,
            now_ns=now_ns(),
            deadline_ns=age_from_ns + self._age_target_ns,
            shape=stream.pipeline_stream.shape,
        )
        stream.offers += 1

    # ---- to the server

    def _submit(self, batch: Batch) -> None:
        streams = [self._streams[item.stream] for item in batch.items]
        items = [
            (stream, stream.in_flight[item.chunk])
            for stream, item in zip(streams, batch.items, strict=True)
        ]
        expected_ns = self._latency.line(batch.kind).at(len(items))
        started_ns = thread_time_ns()
        failed = self._passes.submit(batch, items, round(expected_ns))
        self.stats.pass_cpu_ns += thread_time_ns() - started_ns
        if self._ranks is None:
            self._scheduler.submitted(batch)
        else:
            self._hops[batch.number] = batch
        for stream, item in zip(streams, batch.items, strict=True):
            if stream.lane in failed:
                continue  # closed with its pass, before another is chosen
            if item.stage is Stage.ENCODE:
                self._grant(self._flow.on_encoded(stream.lane, item.chunk))
                self._advance(stream)
            elif item.stage is Stage.DECODE and not len(stream.outputs):
                self._scheduler.hold(stream.lane)

    def _take_reports(self) -> None:
        if self._ranks is not None and self._ranks.read(0.0):
            for number, completion in self._passes.ranked():
                self._follow(number, completion)

    def _next_of_ranks(self) -> Batch | None:
        at_ns, waiting = now_ns(), [batch.rank for batch in self._hops.values()]
        for rank in self._entry_ranks:
            if waiting.count(rank) < MOST_PASSES and (
                chosen := self._scheduler.next_batch(at_ns, rank=rank)
            ):
                return chosen
        return None

    def _follow(self, number: int, completion: RankCompletion) -> None:
        """Tell the scheduler which ranks a pass has left: others may enter them."""
        while (batch := self._hops.get(number)) and (hop := completion.hop_ns(batch.kind.hop)):
            self._scheduler.observe(batch, started_ns=hop[0], ended_ns=hop[1])
            self._leave(batch)

    def _leave(self, batch: Batch) -> None:
        self._scheduler.submitted(batch)
        if (following := self._scheduler.onward(batch)) is None:
            del self._hops[batch.number]
        else:
            self._hops[batch.number] = following

    def _complete(self, *, is_idle: bool) -> bool:
        """End the passes that are due; returns whether there were any."""
        ended = 0
        while self._passes.is_due(is_idle=is_idle and not ended):
            started_ns = thread_time_ns()
            batch, given, result = self._passes.complete(self._is_open)
            self.stats.pass_cpu_ns += thread_time_ns() - started_ns
            while hop := self._hops.get(batch.number):  # what failed, or took several paths
                self._leave(hop)
            self.stats.passes_ns += result.ended_ns - result.started_ns
            if not result.failures and self._ranks is None:  # how long a failure took says nothing
                self._scheduler.observe(
                    batch, started_ns=result.started_ns, ended_ns=result.ended_ns
                )
            for (stream, _), item in zip(given.items, batch.items, strict=True):
                if not self._is_open(stream):
                    continue
                if stream.lane in result.failures:
                    self._fail(stream, result.failures[stream.lane])
                elif item.stage is Stage.DECODE:
                    self._hand_over(stream, item.chunk, result.ended_ns)
            ended += 1
        return ended > 0

    def _is_open(self, stream: StreamSlot[ChunkT]) -> bool:
        return self._streams.get(stream.lane) is stream

    def _hand_over(self, stream: StreamSlot[ChunkT], chunk: int, ended_ns: int) -> None:
        self._channel.send(stream.in_flight.pop(chunk).output(ended_ns=ended_ns))
        has_output_room = len(stream.outputs) > 0
        self._grant(self._flow.on_output(stream.lane, chunk, has_output_room=has_output_room))

    def _report_drops(self) -> bool:
        """Returns whether there were any."""
        all_dropped = self._scheduler.take_dropped()
        for dropped in all_dropped:
            if dropped.cause is DropCause.CLOSED:
                continue
            stream = self._streams[dropped.stream]
            chunk = stream.in_flight.pop(dropped.chunk)
            message = chunk.message
            credit = self._flow.on_dropped(dropped.stream, dropped.chunk)
            if chunk.is_first:
                # no other chunk has its length, so a stream cannot begin without it: better late
                self._offer(stream, message, now_ns(), is_first=True)
                continue
            self._channel.send(
                ChunkDropped(lane=stream.lane, slot=credit.slot, chunk=message.chunk)
            )
            self._advance(stream)
        return bool(all_dropped)

    def _grant(self, granted: Iterable[Credit]) -> None:
        for credit in granted:
            self._channel.send(SlotFree(lane=credit.stream, slot=credit.slot))

    def _fail(self, stream: StreamSlot[ChunkT], reason: str) -> None:
        logger.error("stream on lane %s failed: %s", stream.lane, reason)
        self._close(stream.lane)
        self._channel.send(Failed(lane=stream.lane, reason=reason))
