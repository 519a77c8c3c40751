"""The channel to an engine, with a finger on its pulse."""

import asyncio
import socket
from collections.abc import Sequence

import msgspec
from slipstream_protocol.channel import AsyncChannel
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.messages import Ready, ToServer

from slipstream_server.engine.hang_detector import HangDetector

_LOOK_S = 0.25


class WatchedChannel(AsyncChannel[ToServer]):
    """Notes all that goes to the engine and comes from it, once that serves.

    Args:
        sock: the server's end; owned from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, ToServer, other="the engine")
        self._pulse: HangDetector | None = None

    async def receive(self) -> ToServer:
        message = await super().receive()
        if isinstance(message, Ready):
            self._pulse = HangDetector(chunk_ms=message.chunk_ms, now_ns=now_ns())
        elif self._pulse is not None:
            self._pulse.heard(message, now_ns())
        return message

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        super().send(message, descriptors)
        if self._pulse is not None:
            self._pulse.told(message, now_ns())

    async def silence(self) -> str:
        """Wait until the engine hangs; returns what to say of it."""
        assert self._pulse is not None, "an engine is watched once it serves"
        looked_ns = now_ns()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = now_ns()
            if now - looked_ns > 2 * _LOOK_S * NS_PER_S:
                self._pulse.excuse(now)
            elif (reason := self._pulse.silence(now)) is not None:
                return reason
            looked_ns = now
