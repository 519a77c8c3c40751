"""The place of a stream's publisher: one call at a time, kept for a while when it is empty."""

import asyncio
import contextlib
from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.control.events import Event, StreamStopped
from slipstream_server.streams.chunk_pipe import ChunkPipe
from slipstream_server.streams.ports import Publisher
from slipstream_server.streams.telemetry import StreamTelemetry

PublisherT = TypeVar("PublisherT")


class ResumeWindow(Generic[PublisherT]):
    """Who publishes a stream, and how long the stream is kept when nobody does.

    There is one publisher at a time, the newest. Pure: times are arguments.

    Args:
        hold_ns: how long after a publisher has left another one may come; 0 keeps nothing.
        now_ns: when the stream was opened; it has no publisher yet.
    """

    def __init__(self, *, hold_ns: int, now_ns: int) -> None:
        if hold_ns < 0:
            raise ValueError(f"hold_ns is {hold_ns}, it must be at least 0")
        self.publisher: PublisherT | None = None
        self._hold_ns = hold_ns
        self._empty_since_ns = now_ns

    def attach(self, publisher: PublisherT) -> PublisherT | None:
        """The newest publisher wins; returns the one it has replaced, if any."""
        older, self.publisher = self.publisher, publisher
        return older if older is not publisher else None

    def detach(self, publisher: PublisherT, now_ns: int) -> bool:
        """A publisher has left; returns whether the stream has none from now on because of it."""
        if self.publisher is not publisher:
            return False
        self.publisher = None
        self._empty_since_ns = now_ns
        return True

    def held_s(self, now_ns: int) -> float:
        """For how long the stream has had no publisher."""
        if self.publisher is not None:
            return 0.0
        return max(0, now_ns - self._empty_since_ns) / NS_PER_S

    def remaining_s(self, now_ns: int) -> float | None:
        """For how long the stream is still kept, at least 0; None while it has a publisher."""
        if self.publisher is not None:
            return None
        return max(0, self._empty_since_ns + self._hold_ns - now_ns) / NS_PER_S


class PublisherSlot:
    """Gives the publisher the stream's events and frames; takes them away when it leaves.

    Args:
        chunk_pipe: of the stream.
        telemetry: of the stream.
        hold_s: how long the place is kept for a publisher to come back.
        now_ns: when the stream was offered.
    """

    def __init__(
        self, chunk_pipe: ChunkPipe, telemetry: StreamTelemetry, *, hold_s: float, now_ns: int
    ) -> None:
        self.last_id = ""  # of the session that published last
        self._chunk_pipe = chunk_pipe
        self._telemetry = telemetry
        self._window: ResumeWindow[Publisher] = ResumeWindow(
            hold_ns=round(hold_s * NS_PER_S), now_ns=now_ns
        )
        self._changed = asyncio.Event()

    @property
    def publisher(self) -> Publisher | None:
        return self._window.publisher

    def held_s(self, now_ns: int) -> float:
        """For how long there has been no publisher."""
        return self._window.held_s(now_ns)

    def attach(self, publisher: Publisher) -> None:
        """A publisher takes the place; the one before is notified, and ends."""
        older = self._window.attach(publisher)
        self.last_id = publisher.id
        self._chunk_pipe.participants.append(publisher.participant)
        if publisher.output is not None:
            self._chunk_pipe.outputs.append(publisher.output)
        if older is not None:
            reason = "the call was taken over by a newer one with the same token"
            self._remove(older)
            older.participant.send(StreamStopped(error_message=reason))
            older.participant.end(reason)
        self._telemetry.interrupt()
        self._changed.set()
        self._chunk_pipe.hold(False)

    def detach(self, publisher: Publisher) -> None:
        """The publisher leaves the place empty."""
        self._window.detach(publisher, now_ns())
        self._remove(publisher)
        self._telemetry.interrupt()
        self._telemetry.end_call(now_ns())
        self._changed.set()
        self._chunk_pipe.hold(True)

    def send(self, event: Event) -> None:
        """Send an event to the publisher, if there is one."""
        if self.publisher is not None:
            self.publisher.participant.send(event)

    async def expire(self) -> None:
        """Return when the place has been empty for as long as it is kept."""
        while (remaining_s := self._window.remaining_s(now_ns())) != 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining_s):
                    await self._changed.wait()

    def _remove(self, publisher: Publisher) -> None:
        self._telemetry.add_drops(publisher.drops)
        if publisher.participant in self._chunk_pipe.participants:
            self._chunk_pipe.participants.remove(publisher.participant)
        if publisher.output in self._chunk_pipe.outputs:
            self._chunk_pipe.outputs.remove(publisher.output)
