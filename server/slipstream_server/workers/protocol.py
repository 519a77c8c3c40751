"""All messages between the front and a media worker.

Requests of callers are proxied over HTTP on a Unix socket of the worker's own. Messages between the
engine and a worker pass the front on a channel of their own, in the engine's protocol; there is one
for each pair of worker and engine process.
"""

import msgspec
from slipstream_protocol.messages import Ready

from slipstream_server.config import ServerConfig
from slipstream_server.engine_status import EngineState


class WorkerMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of every message: immutable, tagged by its class name."""


# ---- front to worker


class StartWorker(WorkerMessage, frozen=True):
    """The first message. The Unix socket that requests come in on travels with it.

    Args:
        index: of the worker.
        id_prefix: what the ids of its sessions begin with.
    """

    config: ServerConfig
    index: int
    id_prefix: str


class EngineStatusChanged(WorkerMessage, frozen=True):
    """The engine's status; its `Ready` comes with `EngineConnected`."""

    state: EngineState
    detail: str
    pid: int | None
    restarts: int


class EngineConnected(WorkerMessage, frozen=True):
    """The engine serves. Two descriptors travel with it: a socket in the engine's protocol, and the
    engine's shared memory.

    Args:
        lanes: of the engine, that this worker may use.
    """

    ready: Ready
    lanes: tuple[int, ...]


class EngineDisconnected(WorkerMessage, frozen=True):
    """The engine process has ended, or is no longer this worker's to use."""

    reason: str


class StatusRequest(WorkerMessage, frozen=True):
    """Requests a `WorkerStatus`, which is sent at once.

    Args:
        number: repeated in the answer; counted from 1.
    """

    number: int


class Drain(WorkerMessage, frozen=True):
    """Notify the callers, end their calls, and exit."""


# ---- worker to front


class StreamSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that can be watched.

    Args:
        name: its id.
        since_ns: when it began.
    """

    name: str
    since_ns: int


class WorkerStatus(WorkerMessage, frozen=True):
    """The calls of this worker.

    The first one means that the worker accepts calls; every further one answers a `StatusRequest`.

    Args:
        answers: the number of that request; 0 in the first one.
        streams: that can be watched, those within their resume window among them.
        publishers, subscribers: calls, by kind.
        held: streams within their resume window, whose publisher is away.
    """

    answers: int = 0
    streams: tuple[StreamSummary, ...] = ()
    publishers: int = 0
    subscribers: int = 0
    held: int = 0


ToWorker = (
    StartWorker | EngineStatusChanged | EngineConnected | EngineDisconnected | StatusRequest | Drain
)
ToFront = WorkerStatus
