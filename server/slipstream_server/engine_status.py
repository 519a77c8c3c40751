"""The state of the engine at any moment, for callers, health probes and metrics."""

from dataclasses import dataclass
from enum import StrEnum

from slipstream_protocol.messages import Ready

from slipstream_server.errors import EngineUnavailable


class EngineState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DOWN = "down"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The engine at one moment.

    Args:
        detail: a sentence for people: the loading stage, a note, or why the engine is down.
        pid: of its process, while there is one.
        restarts: how often it was started again.
        ready: its own description (model, geometry, lanes), while it serves.
    """

    state: EngineState
    detail: str
    pid: int | None = None
    restarts: int = 0
    ready: Ready | None = None

    def unavailable(self) -> EngineUnavailable:
        """The error for a caller while no engine serves: its loading stage, or why it is down."""
        if self.state in (EngineState.STARTING, EngineState.READY):
            return EngineUnavailable(
                f"the engine is starting ({self.detail}); try again in a moment", retry_after_s=2.0
            )
        return EngineUnavailable(f"the engine is down: {self.detail}", retry_after_s=5.0)
