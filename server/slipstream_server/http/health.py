"""Probes: /health describes the server, /ready says whether a call can begin."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from aiohttp import web

from slipstream_server.config import ServerConfig
from slipstream_server.control.events import Model, describe_model
from slipstream_server.engine_status import EngineStatus
from slipstream_server.errors import ServerStops
from slipstream_server.observability.error_budget import ServiceLevel
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.observability.slo_metrics import LevelSummary


class EngineSummary(Protocol):
    """The engine, as far as the probes need it."""

    @property
    def status(self) -> EngineStatus: ...

    def require(self) -> object:
        """Raises Unavailable if a call cannot begin."""
        ...


class LevelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One service level over all streams; null where there is no data.

    Args:
        holds: whether every stream meets the target.
        budget_left_ratio, burn_5m, burn_1h: of the error budget.
    """

    holds: bool | None
    budget_left_ratio: float | None
    burn_5m: float | None
    burn_1h: float | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /health."""

    status: str
    version: str
    uptime_s: float
    ready: bool
    engine_state: str
    engine_detail: str
    engine_pid: int | None
    engine_restarts: int
    pipeline: str
    preset: str
    sessions: int
    viewers: int
    held: int
    waiting: int
    max_streams: int
    model: Model | None
    slo: dict[str, LevelHealth]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthProbes:
    """The handlers.

    Args:
        count: counts the calls.
        check_open: raises ServerStops where no new calls are taken.
        slo: verdicts and error budgets now.
        config: parts of it are in /health.
        began_s: when the server began.
    """

    engine: EngineSummary
    count: Callable[[], CallCounts]
    check_open: Callable[[], None]
    slo: Callable[[], Mapping[ServiceLevel, LevelSummary]]
    config: ServerConfig
    version: str
    began_s: float

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/health", self.health), web.get("/ready", self.ready)]

    async def health(self, request: web.Request) -> web.Response:
        """200 as long as the server itself answers; `ready` says whether a call can begin."""
        return web.Response(
            body=msgspec.json.encode(self.describe()), content_type="application/json"
        )

    def describe(self) -> Health:
        """The server's health now."""
        calls = self.count()
        engine = self.engine.status
        is_stopping = self._is_stopping()
        ready = engine.state == "ready" and not is_stopping
        return Health(
            status="stopping" if is_stopping else "ok" if ready else "degraded",
            version=self.version,
            uptime_s=round(time.monotonic() - self.began_s, 1),
            ready=ready,
            engine_state=engine.state,
            engine_detail=engine.detail,
            engine_pid=engine.pid,
            engine_restarts=engine.restarts,
            pipeline=self.config.pipeline,
            preset=self.config.preset,
            sessions=calls.publishers,
            viewers=calls.subscribers,
            held=calls.held,
            waiting=calls.waiting,
            max_streams=self.config.max_streams,
            model=describe_model(engine.ready) if engine.ready else None,
            slo={level.value: _level_health(summary) for level, summary in self.slo().items()},
        )

    async def ready(self, request: web.Request) -> web.Response:
        """204 when a call can begin; else 503 with what is in the way."""
        self.check_open()
        self.engine.require()
        return web.Response(status=204)

    def _is_stopping(self) -> bool:
        try:
            self.check_open()
        except ServerStops:
            return True
        return False


def _level_health(summary: LevelSummary) -> LevelHealth:
    return LevelHealth(
        holds=None if summary.met_ratio is None else summary.met_ratio == 1,
        budget_left_ratio=summary.left,
        burn_5m=summary.burn_short,
        burn_1h=summary.burn_long,
    )
