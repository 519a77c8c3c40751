"""What can be said of the engine at any moment."""

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
    """What is to be said of the engine at this moment.

    Args:
        detail: for people.
        ready: what it said of itself, while it serves.
    """

    state: EngineState
    detail: str
    pid: int | None = None
    restarts: int = 0
    ready: Ready | None = None

    def why_not(self) -> EngineUnavailable:
        """For a caller while there is no engine: the stage it loads at, or why it is down."""
        if self.state in (EngineState.STARTING, EngineState.READY):
            return EngineUnavailable(
                f"the engine is starting ({self.detail}); try again in a moment", retry_after_s=2.0
            )
        return EngineUnavailable(f"the engine is down: {self.detail}", retry_after_s=5.0)
