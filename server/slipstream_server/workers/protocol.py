"""Everything the front and a media worker can say to each other, on one screen.

Calls themselves are relayed over HTTP on a Unix socket of the worker's own; what the engine and a
worker say to each other goes over a line of its own, in the engine's protocol, one for each life of
the engine.
"""

import msgspec
from slipstream_protocol.messages import Ready

from slipstream_server.config import ServerConfig
from slipstream_server.engine_status import EngineState


class WorkerMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The root of every message: immutable, tagged by its class name."""


# ---- front to worker


class StartWorker(WorkerMessage, frozen=True):
    """The first message. The Unix socket to take calls from travels with it.

    Args:
        index: which worker it is.
        mark: what the ids of its sessions begin with.
    """

    config: ServerConfig
    index: int
    mark: str


class EngineStatusChanged(WorkerMessage, frozen=True):
    """The engine's status; what it says of itself comes with `EngineConnected`."""

    state: EngineState
    detail: str
    pid: int | None
    restarts: int


class EngineConnected(WorkerMessage, frozen=True):
    """The engine is there. Two descriptors travel along: a socket in the engine's protocol, and the
    engine's shared memory.

    Args:
        lanes: of the engine, that are this worker's own.
    """

    ready: Ready
    lanes: tuple[int, ...]


class EngineDisconnected(WorkerMessage, frozen=True):
    """The engine is gone, or is no longer this worker's to use."""

    reason: str


class StatusRequest(WorkerMessage, frozen=True):
    """How are things? Answered by `WorkerStatus`, at once."""


class Drain(WorkerMessage, frozen=True):
    """Tell the viewers, end the calls, and leave."""


# ---- worker to front


class StreamSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that can be watched.

    Args:
        name: it is asked for by.
        since_ns: when it began.
    """

    name: str
    since_ns: int


class WorkerStatus(WorkerMessage, frozen=True):
    """Who is on this worker.

    The first one says that the worker takes calls; every further one answers an `StatusRequest`.

    Args:
        streams: that can be watched, those held for their viewer to come back among them.
        cameras, viewers: calls, by kind.
        held: streams that wait for their viewer.
    """

    streams: tuple[StreamSummary, ...] = ()
    cameras: int = 0
    viewers: int = 0
    held: int = 0


ToWorker = (
    StartWorker | EngineStatusChanged | EngineConnected | EngineDisconnected | StatusRequest | Drain
)
ToFront = WorkerStatus
