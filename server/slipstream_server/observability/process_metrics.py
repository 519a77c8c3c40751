"""What the server exports beside its streams: tasks, threads, the engine, media workers."""

import asyncio
import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.observability.exposition import render


class ProcessMetrics:
    """Tasks and threads; descriptors, memory and processor time under Prometheus' usual names.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)  # exports nothing where there is no /proc
        self._tasks = Gauge("slipstream_tasks", "Tasks of the event loop", registry=registry)
        self._threads = Gauge("slipstream_threads", "Threads of Python", registry=registry)

    def update_gauges(self) -> None:
        self._threads.set(threading.active_count())
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


class FrontMetrics:
    """What the front process counts, beside its workers' metrics."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._engine = EngineGauges(registry)
        self._refused = Counter(
            "slipstream_refused_offers",
            "Offers that no media worker answered, by status",
            ["status"],
            registry=registry,
        )
        self._up = Gauge(
            "slipstream_media_workers", "Media workers that take sessions", registry=registry
        )
        self._restarts = Gauge(
            "slipstream_media_worker_restarts",
            "Times that media workers were started again",
            registry=registry,
        )

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def render(self, engine: EngineStatus, *, up: int, restarts: int) -> bytes:
        """All of it in Prometheus' text format.

        Args:
            up: workers that take sessions.
            restarts: of all workers.
        """
        self._engine.update(engine)
        self._up.set(up)
        self._restarts.set(restarts)
        return render(self._registry)
