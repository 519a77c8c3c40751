"""Opens the streams that the device can serve beside those it serves already."""

from collections.abc import Collection
from typing import Generic, TypeVar

from slipstream_protocol.clock import now_ns
from slipstream_protocol.messages import OpenStream, StreamRefused
from slipstream_protocol.turnover import TurnoverEstimator

from slipstream_engine.errors import AdmissionError
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.serving.pipeline_protocol import Pipeline, PipelineStream

ChunkT = TypeVar("ChunkT")


class StreamAdmission(Generic[ChunkT]):
    """Opens streams of a pipeline, or refuses them with a reason and a time to try again.

    Args:
        pipeline: opens the streams.
        scheduler: knows the load of those that are open.
        lanes: number of lanes.
        period_ns: the distance of chunks that each stream is promised.
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
        """Open a stream; the first one is opened whatever its load.

        Returns:
            The stream, or the answer that refuses it. No exception leaves this method: one would
            keep alive the frames it was raised in, and so the tensors of the refused stream.
        """
        try:
            return self._open(message, taken_lanes)
        except AdmissionError as error:
            wait_s = self._turnover.wait_s(now_ns())
            return StreamRefused(lane=message.lane, reason=str(error), retry_after_s=wait_s)
        except ValueError as error:
            return StreamRefused(lane=message.lane, reason=str(error), retry_after_s=0.0)

    def on_closed(self) -> None:
        """A stream is closed: refusals estimate by this when a lane may become free."""
        self._turnover.on_departure(now_ns())

    def _open(self, message: OpenStream, taken_lanes: Collection[int]) -> PipelineStream[ChunkT]:
        if message.lane in taken_lanes or not 0 <= message.lane < self._lanes:
            raise ValueError(f"lane {message.lane} is taken or not one of {self._lanes}")
        stream = self._pipeline.open(message.parameters)
        if taken_lanes:
            admission = self._scheduler.admit(
                stream.steady_shape, now_ns=now_ns(), period_ns=self._period_ns
            )
            if admission.reason is not None:
                stream.close()
                raise AdmissionError(admission.reason)
        return stream
