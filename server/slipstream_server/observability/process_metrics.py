"""What this process holds, for Prometheus: what grows here though the calls do not is leaking."""

import asyncio
import threading

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector


class ProcessMetrics:
    """Tasks and threads; descriptors, memory and processor time under Prometheus' usual names.

    Args:
        registry: where they are told.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)  # says nothing where there is no /proc
        self._tasks = Gauge("slipstream_tasks", "Tasks of the event loop", registry=registry)
        self._threads = Gauge("slipstream_threads", "Threads of Python", registry=registry)

    def take_gauges(self) -> None:
        self._threads.set(threading.active_count())
        try:
            self._tasks.set(len(asyncio.all_tasks()))
        except RuntimeError:  # asked outside of a loop
            self._tasks.set(0)
