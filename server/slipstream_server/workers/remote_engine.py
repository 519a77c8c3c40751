"""The engine as a media worker sees it: a child of the front, reached over a channel of its own."""

import socket
from concurrent.futures import Executor

from slipstream_protocol.async_channel import AsyncChannel, to_engine
from slipstream_protocol.messages import ToServer

from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.current import EngineAccess
from slipstream_server.engine_status import EngineState, EngineStatus
from slipstream_server.workers.protocol import EngineConnected, EngineStatusChanged


class RemoteEngine(EngineAccess[EngineClient]):
    """The engine's status as the front reports it, and the client on the worker's channel to it.

    Args:
        pool: runs the client's large copies.
    """

    def __init__(self, pool: Executor) -> None:
        super().__init__()
        self._pool = pool
        self._reported = EngineStatusChanged(
            state=EngineState.STARTING, detail="not heard of yet", pid=None, restarts=0
        )
        self._channel: AsyncChannel[ToServer] | None = None

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(
            state=self._reported.state,
            detail=self._reported.detail,
            pid=self._reported.pid,
            restarts=self._reported.restarts,
            ready=self.current.ready,
        )

    def update_status(self, reported: EngineStatusChanged) -> None:
        """Take over the status that the front reports."""
        self._reported = reported

    async def serve(self, connected: EngineConnected, sock: int, memory: int) -> None:
        """Serve a channel until it closes; streams are notified by `report_lost`.

        Args:
            sock, memory: the descriptors that came with `connected`; owned from now on.
        """
        self._channel = channel = to_engine(socket.socket(fileno=sock))
        client = EngineClient.attach(
            channel, connected.ready, memory, self._pool, lanes=connected.lanes
        )
        self.current.connect(client)
        try:
            await client.serve()
        finally:
            self.current.disconnect(client)
            channel.close()

    def report_lost(self, reason: str) -> None:
        """The front has reported the engine's end."""
        self.current.report_lost(reason)

    def close(self) -> None:
        """Close the channel, which ends `serve`."""
        if self._channel is not None:
            self._channel.close()
        self.report_lost("the server is stopping")
