"""Whether there is an engine to speak with: its client while it runs, and until its end is told."""

import asyncio
from typing import Generic, Protocol, TypeVar

from slipstream_protocol.messages import Ready

from slipstream_server.engine_status import EngineStatus


class Client(Protocol):
    """Who speaks with a running engine, from `Ready` to its end."""

    ready: Ready

    async def serve(self) -> str:
        """Until the engine is gone; returns why."""
        ...

    def stop(self) -> None:
        """Ask the engine to finish and leave."""
        ...

    def lose(self, reason: str) -> None:
        """The engine has ended, for this reason."""
        ...


ClientT = TypeVar("ClientT", bound=Client)


class CurrentEngine(Generic[ClientT]):
    """One engine at a time, or none."""

    def __init__(self) -> None:
        self.client: ClientT | None = None
        self._lost: ClientT | None = None
        self._is_here = asyncio.Event()

    @property
    def ready(self) -> Ready | None:
        return self.client.ready if self.client else None

    def require(self, status: EngineStatus) -> ClientT:
        """The engine.

        Raises:
            EngineUnavailable: with the stage it is loading at, or the reason it is down.
        """
        if self.client is None:
            raise status.why_not()
        return self.client

    async def running(self) -> ClientT:
        """The engine, as soon as there is one."""
        while self.client is None:
            await self._is_here.wait()
        return self.client

    def begin(self, client: ClientT) -> None:
        """The engine of `client` is here."""
        self.client = client
        self._is_here.set()

    def end(self, client: ClientT) -> None:
        """The engine of `client` is gone; why, `lose` will say."""
        if self.client is client:
            self.client, self._lost = None, client
            self._is_here.clear()

    def lose(self, reason: str) -> None:
        """Whatever engine was here has ended, for this reason."""
        for client in (self._lost, self.client):
            if client is not None:
                client.lose(reason)
        self.client = self._lost = None
        self._is_here.clear()
