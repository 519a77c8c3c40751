"""How full a device is: whether it is saturated, and whether one more stream fits. Pure."""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.types import ChunkShape

_SATURATED_LOAD = 0.8  # share of the device that running chunk after chunk would take
_FULL_LOAD = 0.9  # share of the device that may be promised to streams
_SILENT_GAPS = 4  # gaps without a chunk after which a stream shares passes with nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether one more stream fits.

    Args:
        load: share of the device that all streams would take, their steps sharing passes.
        reason: why not, for people; None where it fits.
    """

    load: float
    reason: str | None


class Capacity:
    """The load of a device by what its streams send and what its passes take.

    Args:
        backlog: the streams and their chunks.
        forecast: of the times of passes.
        max_batch: most micro-steps the device can take in one pass.
    """

    def __init__(self, backlog: Backlog, forecast: Forecast, *, max_batch: int) -> None:
        self._backlog = backlog
        self._forecast = forecast
        self._max_batch = max_batch

    def is_saturated(self, now_ns: int) -> bool:
        """Whether chunk after chunk, each step alone, would (nearly) fill the device."""
        load = 0.0
        for queue in self._backlog.queues.values():
            if queue.shape:
                gap_ns = max(queue.gap_ns, queue.silent_ns(now_ns))
                load += self._forecast.shared_ns(self._backlog.plan(queue.shape), 1) / gap_ns
        return load >= _SATURATED_LOAD

    def others_are_sending(self, stream: int, now_ns: int) -> bool:
        """Whether any other stream has sent a chunk within its last few gaps."""
        return any(
            queue.shape and queue.silent_ns(now_ns) < _SILENT_GAPS * queue.gap_ns
            for number, queue in self._backlog.queues.items()
            if number != stream
        )

    def admit(self, shape: ChunkShape, *, now_ns: int, period_ns: int) -> Admission:
        """Whether a stream of `shape` chunks every `period_ns` fits beside those that are open.

        A stream that is paused, or whose camera has stopped, counts less the longer it sends
        nothing.
        """
        load = self._chunk_ns(shape, shape.steps) / period_ns
        for queue in self._backlog.queues.values():
            if queue.shape:
                new_steps = shape.steps if queue.shape.level == shape.level else 0
                gap_ns = max(queue.period_ns, queue.silent_ns(now_ns))
                load += self._chunk_ns(queue.shape, new_steps) / gap_ns
        if load <= _FULL_LOAD:
            return Admission(load=load, reason=None)
        alone_ms = self._forecast.remaining(self._backlog.plan(shape))[0].mean_ns / NS_PER_MS
        reason = (
            f"load would be {load:.0%} of this device, it must be at most {_FULL_LOAD:.0%} (a "
            f"chunk takes {alone_ms:.0f} ms alone and comes every {period_ns / NS_PER_MS:.0f} ms); "
            "ask for fewer steps or frames, or wait until a viewer leaves"
        )
        return Admission(load=load, reason=reason)

    def _chunk_ns(self, shape: ChunkShape, new_steps: int) -> float:
        """Time of one chunk whose steps share passes with all of its level and `new_steps` more."""
        steps = new_steps + sum(
            queue.shape.steps
            for queue in self._backlog.queues.values()
            if queue.shape and queue.shape.level == shape.level
        )
        items = min(max(steps, 1), self._max_batch)
        return self._forecast.shared_ns(self._backlog.plan(shape), items)
