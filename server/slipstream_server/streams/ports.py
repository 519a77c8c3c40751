"""What a stream needs of others: an engine to live in, and the call that carries it."""

from collections.abc import Mapping
from typing import Protocol

from slipstream_server.engine.client import EngineClient
from slipstream_server.engine_status import EngineStatus
from slipstream_server.streams.chunk_pipe import Output, Participant


class EngineProvider(Protocol):
    """What is asked of the supervisor."""

    @property
    def status(self) -> EngineStatus: ...

    def require(self) -> EngineClient:
        """The running engine. Raises EngineUnavailable."""
        ...

    async def running(self) -> EngineClient:
        """The engine, as soon as one runs."""
        ...


class Publisher(Protocol):
    """The call that brings a stream's camera."""

    @property
    def id(self) -> str: ...

    @property
    def participant(self) -> Participant:
        """Where its events go."""
        ...

    @property
    def output(self) -> Output | None:
        """Where generated frames go, if they go back on the call."""
        ...

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames it has lost on either way, by cause."""
        ...
