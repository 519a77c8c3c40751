"""How full a device is by what its streams send now; what they may send is `promises.py`. Pure."""

from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.deadline_check import Forecast

_SATURATED_LOAD = 0.8  # share of the device that running chunk after chunk would take
_SILENT_GAPS = 4  # gaps without a chunk after which a stream shares passes with nobody


class Capacity:
    """The load of a device by what its streams send and what its passes take.

    Args:
        backlog: the streams and their chunks.
        forecast: of the times of passes.
    """

    def __init__(self, backlog: Backlog, forecast: Forecast) -> None:
        self._backlog = backlog
        self._forecast = forecast

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
