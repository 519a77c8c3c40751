"""The engine as a media worker sees it: somebody else's child, reached over a line of its own."""

import asyncio
import socket
from concurrent.futures import Executor

from slipstream_protocol.channel import AsyncChannel, to_engine
from slipstream_protocol.messages import ToServer

from slipstream_server.engine_client import EngineClient
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.trunk import EngineIs, Line


class EngineLine:
    """What the front says of the engine, and the client on each line that it gives.

    Args:
        pool: for the client's large copies.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._told = EngineIs(
            state=EngineState.STARTING, detail="not heard of yet", pid=None, restarts=0
        )
        self._channel: AsyncChannel[ToServer] | None = None
        self._client: EngineClient | None = None
        self._serving = asyncio.Event()
        self._lost: EngineClient | None = None

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(
            state=self._told.state,
            detail=self._told.detail,
            pid=self._told.pid,
            restarts=self._told.restarts,
            ready=self._client.ready if self._client else None,
        )

    def require(self) -> EngineClient:
        """The engine.

        Raises:
            EngineUnavailable: with the stage it is loading at, or the reason it is down.
        """
        if self._client is None:
            raise self.status.why_not()
        return self._client

    async def running(self) -> EngineClient:
        """The engine, as soon as there is a line to one."""
        while self._client is None:
            await self._serving.wait()
        return self._client

    def tell(self, told: EngineIs) -> None:
        """What the front says of the engine now."""
        self._told = told

    async def serve(self, line: Line, sock: int, memory: int) -> None:
        """Use a line until it is closed; streams are told of that by `lose`.

        Args:
            sock, memory: the descriptors that came with it; owned from now on.
        """
        self._channel = channel = to_engine(socket.socket(fileno=sock))
        client = EngineClient.attach(channel, line.ready, memory, self._pool, lanes=line.lanes)
        self._client = client
        self._serving.set()
        try:
            await client.serve()
        finally:
            self._client, self._lost = None, client
            self._serving.clear()
            channel.close()

    def lose(self, reason: str) -> None:
        """The line's engine is gone, for this reason."""
        for client in (self._client, self._lost):
            if client is not None:
                client.lose(reason)
        self._client = self._lost = None
        self._serving.clear()

    def close(self) -> None:
        """Hang up; `serve` then ends."""
        if self._channel is not None:
            self._channel.close()
        self.lose("the server is stopping")
