"""What can be said of the engine at any moment."""

from dataclasses import dataclass
from enum import StrEnum

from slipstream_protocol.messages import Ready


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
