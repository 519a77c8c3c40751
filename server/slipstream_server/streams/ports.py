"""What a stream needs of others: the engine's provider, and the publisher's call."""

from collections.abc import Mapping
from typing import Protocol

from slipstream_server.engine.client import EngineClient
from slipstream_server.engine_status import EngineStatus
from slipstream_server.streams.chunk_pipe import Output, Participant


class EngineProvider(Protocol):
    """Gives the running engine, also after a restart."""

    @property
    def status(self) -> EngineStatus: ...

    def require(self) -> EngineClient:
        """The running engine.

        Raises:
            EngineUnavailable: if none runs.
        """
        ...

    async def running(self) -> EngineClient:
        """The running engine, as soon as one runs."""
        ...


class Publisher(Protocol):
    """The call that sends a stream's camera."""

    @property
    def id(self) -> str: ...

    @property
    def participant(self) -> Participant:
        """Where its events go."""
        ...

    @property
    def output(self) -> Output | None:
        """Where generated frames go, if they are sent back on the call."""
        ...

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames dropped on the call, in either direction, by cause."""
        ...
