"""The engine as a media worker sees it: somebody else's child, reached over a line of its own."""

import socket
from concurrent.futures import Executor

from slipstream_protocol.channel import AsyncChannel, to_engine
from slipstream_protocol.messages import ToServer

from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.current import CurrentEngine
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.workers.protocol import EngineConnected, EngineStatusChanged


class RemoteEngine:
    """What the front says of the engine, and the client on each line that it gives.

    Args:
        pool: for the client's large copies.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._told = EngineStatusChanged(
            state=EngineState.STARTING, detail="not heard of yet", pid=None, restarts=0
        )
        self._channel: AsyncChannel[ToServer] | None = None
        self._engine = CurrentEngine[EngineClient]()

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(
            state=self._told.state,
            detail=self._told.detail,
            pid=self._told.pid,
            restarts=self._told.restarts,
            ready=self._engine.ready,
        )

    def require(self) -> EngineClient:
        """The engine.

        Raises:
            EngineUnavailable: with the stage it is loading at, or the reason it is down.
        """
        return self._engine.require(self.status)

    async def running(self) -> EngineClient:
        """The engine, as soon as there is a line to one."""
        return await self._engine.running()

    def tell(self, told: EngineStatusChanged) -> None:
        """What the front says of the engine now."""
        self._told = told

    async def serve(self, line: EngineConnected, sock: int, memory: int) -> None:
        """Use a line until it is closed; streams are told of that by `lose`.

        Args:
            sock, memory: the descriptors that came with it; owned from now on.
        """
        self._channel = channel = to_engine(socket.socket(fileno=sock))
        client = EngineClient.attach(channel, line.ready, memory, self._pool, lanes=line.lanes)
        self._engine.begin(client)
        try:
            await client.serve()
        finally:
            self._engine.end(client)
            channel.close()

    def lose(self, reason: str) -> None:
        """The line's engine is gone, for this reason."""
        self._engine.lose(reason)

    def close(self) -> None:
        """Hang up; `serve` then ends."""
        if self._channel is not None:
            self._channel.close()
        self.lose("the server is stopping")
