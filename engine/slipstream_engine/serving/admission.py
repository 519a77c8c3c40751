"""Opens the streams, and makes the changes, that the device can serve beside all its promises."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET
from slipstream_protocol.clock import NS_PER_MS, now_ns
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.messages import Applied, ChunkIn, OpenStream, StreamRefused, UpdateRefused
from slipstream_protocol.parameters import Parameters
from slipstream_protocol.turnover import TurnoverEstimator

from slipstream_engine.errors import AdmissionError
from slipstream_engine.frame_sizes import at_scale_of
from slipstream_engine.scheduling.promises import Promise, QualityFloor
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape
from slipstream_engine.serving.pipeline_protocol import Pipeline, PipelineStream
from slipstream_engine.serving.stream_slot import StreamSlot

ChunkT = TypeVar("ChunkT")


class StreamAdmission(Generic[ChunkT]):
    """Opens streams of a pipeline, or refuses them with a reason and a time to try again.

    Args:
        pipeline: opens the streams.
        scheduler: knows what those that are open are promised.
        lanes: number of lanes.
        period_ns: the distance of chunks that a stream is promised whose camera's rate nobody
            knows.
    """

    def __init__(
        self, pipeline: Pipeline[ChunkT], scheduler: Scheduler, *, lanes: int, period_ns: int
    ) -> None:
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._lanes = lanes
        self._period_ns = period_ns
        self._turnover = TurnoverEstimator(since_ns=now_ns())

    def open(
        self, message: OpenStream, taken_lanes: Collection[int]
    ) -> PipelineStream[ChunkT] | StreamRefused:
        """Open a stream, which is promised its camera's rate from now on; the first one is opened
        whatever its load.

        Returns:
            The stream, or the answer that refuses it. No exception leaves this method: one would
            keep alive the frames it was raised in, and so the tensors of the refused stream.
        """
        try:
            return self._open(message, taken_lanes)
        except AdmissionError as error:
            wait_s = self._turnover.wait_s(now_ns())
            return StreamRefused(
                lane=message.lane,
                reason=str(error),
                retry_after_s=wait_s,
                fits_without=error.fits_without,
            )
        except ValueError as error:
            return StreamRefused(lane=message.lane, reason=str(error), retry_after_s=0.0)

    def update(self, stream: StreamSlot[ChunkT], parameters: Parameters) -> Applied | UpdateRefused:
        """Change an open stream, unless others would be served less than they are promised."""
        if reason := self._refusal(stream.lane, parameters):
            rev = stream.rev if parameters.rev is UNSET else parameters.rev
            return UpdateRefused(lane=stream.lane, rev=rev, reason=reason)
        answer = stream.update(parameters, self._pipeline.understood)
        if isinstance(answer, UpdateRefused):
            return answer
        promise = self._scheduler.promised(stream.lane)
        if promise is not None:
            shape = stream.pipeline_stream.steady_shape
            self._scheduler.promise(stream.lane, promise.with_shape(shape))
        return msgspec.structs.replace(answer, alone_ms=self.alone_ms(stream))

    def accept(self, stream: StreamSlot[ChunkT], message: ChunkIn) -> str | None:
        """Have a chunk come next on its stream, of its own size from then on; why not, where it
        cannot."""
        if message.chunk != stream.next_chunk:
            return f"ValueError: chunk is {message.chunk}, {stream.next_chunk} is next"
        offered = {one.size for one in self._pipeline.sizes}
        if message.size not in offered:
            return f"ValueError: frames are {message.size}, this model has {_named(offered)}"
        if not message.chunk or message.size != stream.size:
            stream.pipeline_stream.resize(message.size)
            self._renew_promise(stream, message.size)
        return None

    def alone_ms(self, stream: StreamSlot[ChunkT]) -> float:
        """The forecast time of one of its chunks that has the device to itself."""
        return self._scheduler.alone_ns(stream.pipeline_stream.steady_shape) / NS_PER_MS

    def on_closed(self) -> None:
        """A stream is closed: refusals estimate by this when a lane may become free."""
        self._turnover.on_departure(now_ns())

    def _open(self, message: OpenStream, taken_lanes: Collection[int]) -> PipelineStream[ChunkT]:
        if message.lane in taken_lanes or not 0 <= message.lane < self._lanes:
            raise ValueError(f"lane {message.lane} is taken or not one of {self._lanes}")
        # prompts come last: a stream that is refused must not make others wait for its texts
        stream = self._pipeline.open(message.parameters.without_prompts())
        try:
            promise = self._promise(message, stream.steady_shape)
            reason = self._scheduler.admit(promise).reason
            if reason is not None and not message.is_return:
                raise AdmissionError(
                    reason, fits_without=self._fits_without(promise, message.spare_lanes)
                )
            if message.parameters.target is not UNSET:
                stream.apply(message.parameters.only_prompts())
        except (AdmissionError, ValueError):
            stream.close()
            raise
        self._scheduler.open(message.lane, period_ns=promise.period_ns)
        self._scheduler.promise(message.lane, promise)
        return stream

    def _renew_promise(self, stream: StreamSlot[ChunkT], size: FrameSize) -> None:
        """Weigh the stream by frames of that size, and of that shape at its floor."""
        promise = self._scheduler.promised(stream.lane)
        if promise is None:
            return
        shape, floor = stream.pipeline_stream.steady_shape, promise.floor
        if floor is not None and floor.size is not None:
            floor = replace(floor, size=at_scale_of(floor.size, size, self._pipeline.sizes))
        renewed = replace(promise, shape=shape, floor=floor, shares_passes=True)
        self._scheduler.promise(stream.lane, renewed)

    def _refusal(self, lane: int, parameters: Parameters) -> str | None:
        """Why the stream cannot take so many steps; None where it can."""
        promise = self._scheduler.promised(lane)
        steps = parameters.denoising_step_list
        if promise is None or steps is UNSET or not promise.shape.steps:
            return None
        changed = promise.with_shape(replace(promise.shape, steps=len(steps)))
        return self._scheduler.admit(changed, stream=lane).reason

    def _fits_without(self, promise: Promise, spare_lanes: Sequence[int]) -> int:
        """How many of those streams have to be closed first; 0 where that is no use."""
        for count in range(1, len(spare_lanes) + 1):
            if self._scheduler.admit(promise, without=spare_lanes[:count]).reason is None:
                return count
        return 0

    def _promise(self, message: OpenStream, shape: ChunkShape) -> Promise:
        floor = None
        if message.floor_steps:
            scale_px = message.floor_size_px
            sizes = (one.size for one in self._pipeline.sizes if one.scale_px == scale_px)
            floor = QualityFloor(
                steps=message.floor_steps,
                period_ns=message.floor_period_ns,
                size=next(sizes, None),
            )
        return Promise(
            shape=shape,
            period_ns=message.period_ns or self._period_ns,
            floor=floor,
            shares_passes=len(self._pipeline.sizes) <= 1,  # else its camera's shape decides
        )


def _named(sizes: Iterable[FrameSize]) -> str:
    return ", ".join(sorted(map(str, sizes)))
