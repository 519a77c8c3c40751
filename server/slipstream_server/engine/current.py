"""The client of the engine that runs now, or none; and what is reported when an engine is lost."""

import asyncio
from typing import Generic, Protocol, TypeVar

from slipstream_protocol.messages import Ready


class Client(Protocol):
    """The server's end of one engine process, from `Ready` to its end."""

    ready: Ready

    async def serve(self) -> str | None:
        """Receive messages until the channel closes.

        Returns:
            why the engine must end; None where the channel was closed.
        """
        ...

    def stop(self) -> None:
        """Ask the engine to finish and exit."""
        ...

    def on_engine_lost(self, reason: str) -> None:
        """The engine process has ended, for this reason."""
        ...


ClientT = TypeVar("ClientT", bound=Client)


class CurrentEngine(Generic[ClientT]):
    """At most one connected client, and the one whose loss has not been reported yet."""

    def __init__(self) -> None:
        self.client: ClientT | None = None
        self._disconnected: ClientT | None = None
        self._is_connected = asyncio.Event()

    @property
    def ready(self) -> Ready | None:
        """The `Ready` of the engine that runs, if one does."""
        return self.client.ready if self.client else None

    async def running(self) -> ClientT:
        """The client, as soon as one is connected."""
        while self.client is None:
            await self._is_connected.wait()
        return self.client

    def connect(self, client: ClientT) -> None:
        """The engine of `client` serves from now on."""
        self.client = client
        self._is_connected.set()

    def disconnect(self, client: ClientT) -> None:
        """The engine of `client` serves no longer; the reason follows with `report_lost`."""
        if self.client is client:
            self.client, self._disconnected = None, client
            self._is_connected.clear()

    def report_lost(self, reason: str) -> None:
        """Report the end of the engine to its client, once."""
        for client in (self._disconnected, self.client):
            if client is not None:
                client.on_engine_lost(reason)
        self.client = self._disconnected = None
        self._is_connected.clear()
