"""Milliseconds between points of a chunk; neither host nor device waits for it."""

import itertools
import time

import torch
from slipstream_protocol.clock import NS_PER_MS


class StageClock:
    """Records points in time; on a GPU as events in the stream, which are read once it is done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_cuda = device.type == "cuda"
        self._events: list[torch.cuda.Event] = []
        self._stamps_ns: list[int] = []
        self.record()

    def record(self) -> None:
        """Record a point in time, without waiting."""
        if self._is_cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self._device))
            self._events.append(event)
        else:
            self._stamps_ns.append(time.perf_counter_ns())

    def laps_ms(self) -> list[float]:
        """Time between neighbouring points; on a GPU once the work before the last is done."""
        if self._is_cuda:
            return [a.elapsed_time(b) for a, b in zip(self._events, self._events[1:], strict=False)]
        stamps_ns = self._stamps_ns
        return [(b - a) / NS_PER_MS for a, b in itertools.pairwise(stamps_ns)]
