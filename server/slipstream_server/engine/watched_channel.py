"""The channel to an engine, watched for an engine that hangs."""

import asyncio
import socket

from slipstream_protocol.async_channel import AsyncChannel
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.messages import Ready, ToEngine, ToServer

from slipstream_server.engine.hang_detector import HangDetector

_CHECK_S = 0.25


class WatchedChannel(AsyncChannel):
    """Reports messages in both directions to a `HangDetector`, from `Ready` on.

    Args:
        sock: the server's end; owned from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._hang_detector: HangDetector | None = None

    async def receive(self) -> ToServer:
        message = await super().receive()
        if isinstance(message, Ready):
            self._hang_detector = HangDetector(chunk_ms=message.chunk_ms, now_ns=now_ns())
        elif self._hang_detector is not None:
            self._hang_detector.received(message, now_ns())
        return message

    def send(self, message: ToEngine) -> None:
        super().send(message)
        if self._hang_detector is not None:
            self._hang_detector.sent(message, now_ns())

    async def hang(self) -> str:
        """Wait until the engine hangs; returns the hang detector's verdict.

        A check that comes late means that the server itself was suspended or blocked; the silence
        until then is not counted.
        """
        assert self._hang_detector is not None, "an engine is watched once it serves"
        checked_ns = now_ns()
        while True:
            await asyncio.sleep(_CHECK_S)
            now = now_ns()
            if now - checked_ns > 2 * _CHECK_S * NS_PER_S:
                self._hang_detector.ignore_gap(now)
            elif (verdict := self._hang_detector.verdict(now)) is not None:
                return verdict
            checked_ns = now
