"""Sends events to a page on its data channel, which may be full."""

import asyncio

import msgspec

from slipstream_server.send.frame_timing import OutgoingChannel

UNREAD_MAX_BYTES = 1 << 20
_FLUSH_STEP_S = 0.02


class EventChannel:
    """Events are dropped, and counted, while more than `UNREAD_MAX_BYTES` wait for the page: what
    it has not read will be old by then, and later events say what is so.

    Args:
        channel: opened by the page.
    """

    def __init__(self, channel: OutgoingChannel) -> None:
        self.dropped_events = 0
        self._channel = channel

    @property
    def is_open(self) -> bool:
        return self._channel.readyState == "open"

    def send(self, event: msgspec.Struct) -> None:
        """Send an event, unless the channel is closed or full."""
        if not self.is_open:
            return
        if self._channel.bufferedAmount > UNREAD_MAX_BYTES:
            self.dropped_events += 1
            return
        self._channel.send(msgspec.json.encode(event).decode())

    async def flush(self, timeout_s: float) -> None:
        """Wait until all events are on their way, for up to `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.is_open and self._channel.bufferedAmount:
            if loop.time() > deadline_s:
                break
            await asyncio.sleep(_FLUSH_STEP_S)
