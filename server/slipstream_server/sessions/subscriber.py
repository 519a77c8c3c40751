"""One who watches somebody's stream, from offer to close."""

import math

from slipstream_protocol.messages import UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import StreamStopped
from slipstream_server.control.updates import Control
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.ice.gathering import IceServer
from slipstream_server.rtp.sdp import Offer
from slipstream_server.sessions.liveness import SILENT_S
from slipstream_server.sessions.session import Session
from slipstream_server.streams.chunk_pipe import Watcher
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.stream import Stream


class SubscriberSession(Session):
    """A viewer of somebody's stream: a seat at its one picture, and the stream's events.

    Args:
        source: whose stream it is.
    """

    def __init__(
        self,
        id: str,
        source: Stream,
        *,
        servers: tuple[IceServer, ...],
        around: MediaContext,
    ) -> None:
        track = source.broadcast.track(self._on_sent)
        super().__init__(id, track, track, servers, around)
        self.source = source
        self._watcher = Watcher(tell=self.peer.tell, end=self.leave)
        self._control = Control(
            current=source.state_event().parameters,
            apply=self._refuse,
            tell=self.peer.tell,
            shown=lambda told_ns, now_ns: None,
            viewed=lambda stats, now_ns: around.metrics.media.viewed(stats),
        )

    async def answer(self, offer: Offer) -> str:
        """The answer; the stream is watched from now on.

        Raises:
            RequestError: if the offer cannot be answered.
        """
        try:
            answer = await self.peer.answer(offer)
        except BaseException:
            await self.peer.close()
            raise
        self.source.stream.watchers.append(self._watcher)
        if self.source.reason is not None:
            self.leave(f"the stream has ended: {self.source.reason}")
        return answer

    @property
    def silent_s(self) -> float:
        """One who pings goes on doing so. Another may have nothing to say while no picture comes:
        ICE's own consent notices, after half a minute, when it is gone."""
        return SILENT_S if self._control.pinged else math.inf

    async def release(self) -> None:
        watchers = self.source.stream.watchers
        if self._watcher in watchers:  # else the stream has ended, and has said so
            watchers.remove(self._watcher)
            self.peer.tell(StreamStopped(error_message=self.reason or "the server is stopping"))

    def on_channel(self) -> None:
        self.peer.tell(self.source.state_event())

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        self._control.receive(raw, now_ns)

    def _on_sent(self, shown: ScheduledFrame, sent_ns: int) -> None:
        """Watchers may look at its stamps; their frames are not the stream's to answer for."""
        self.peer.tell_times(shown, sent_ns)

    def _refuse(self, parameters: Parameters) -> None:
        self._control.refused(
            UpdateRefused(
                lane=-1, rev=-1, reason="this call only watches; its owner sets the style"
            )
        )
