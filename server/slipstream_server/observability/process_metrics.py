"""What the server exports beside its streams: tasks, threads, the log, the engine."""

import asyncio
import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.logs.set_up import dropped_log_lines


class ProcessMetrics:
    """Tasks and threads; descriptors, memory and processor time under Prometheus' usual names.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)  # exports nothing where there is no /proc
        self._tasks = Gauge("slipstream_tasks", "Tasks of the event loop", registry=registry)
        self._threads = Gauge("slipstream_threads", "Threads of Python", registry=registry)
        self._log_lines = Counter(
            "slipstream_log_lines_dropped",
            "Lines of the log dropped, as its reader does not keep up or is gone",
            registry=registry,
        )
        self._reported_lines = 0

    def update_gauges(self) -> None:
        self._threads.set(threading.active_count())
        dropped = dropped_log_lines()
        self._log_lines.inc(max(0, dropped - self._reported_lines))
        self._reported_lines = dropped
        try:
            self._tasks.set(len(asyncio.all_tasks()))
        except RuntimeError:  # no event loop
            self._tasks.set(0)


class EngineGauges:
    """The engine's state, taken when the metrics are read.

    Args:
        registry: where it is registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._state = Gauge(
            "slipstream_engine_state",
            "1 for the state the engine is in",
            ["state"],
            registry=registry,
        )
        self._restarts = Gauge(
            "slipstream_engine_restarts", "Times the engine was started again", registry=registry
        )

    def update(self, engine: EngineStatus) -> None:
        for state in EngineState:
            self._state.labels(state.value).set(state is engine.state)
        self._restarts.set(engine.restarts)
