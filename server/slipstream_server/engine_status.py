"""What can be said of the engine at any moment."""

from dataclasses import dataclass
from enum import StrEnum


class EngineState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DOWN = "down"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What is to be said of the engine at this moment; `detail` is for people."""

    state: EngineState
    detail: str
    pid: int | None = None
    restarts: int = 0
