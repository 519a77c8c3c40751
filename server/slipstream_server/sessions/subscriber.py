"""One who watches somebody's stream, from offer to close."""

import math

from slipstream_protocol.messages import UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import StreamStopped
from slipstream_server.control.parameter_channel import ParameterChannel
from slipstream_server.control.update_queue import UpdateQueue
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.ice.gathering import IceServer
from slipstream_server.rtp.sdp import Offer
from slipstream_server.sessions.liveness import SILENT_S
from slipstream_server.sessions.session import Session
from slipstream_server.streams.chunk_pipe import Participant
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.stream import Stream


class SubscriberSession(Session):
    """A viewer of somebody's stream: a seat at its one picture, and the stream's events.

    Args:
        stream: whose stream it is.
    """

    def __init__(
        self,
        id: str,
        stream: Stream,
        *,
        servers: tuple[IceServer, ...],
        context: MediaContext,
    ) -> None:
        track = stream.fanout.track(self._on_sent)
        super().__init__(id, track, track, servers, context)
        self.stream = stream
        self._participant = Participant(tell=self.peer.send_event, end=self.leave)
        self._updates = UpdateQueue(
            current=stream.state_event().parameters, apply=self._refuse, send=self.peer.send_event
        )
        self._channel = ParameterChannel(
            self._updates,
            send=self.peer.send_event,
            on_first_shown=lambda shown_ns, now_ns: None,
            on_client_stats=lambda stats, now_ns: context.metrics.media.observe_client(stats),
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
        self.stream.chunk_pipe.participants.append(self._participant)
        if self.stream.reason is not None:
            self.leave(f"the stream has ended: {self.stream.reason}")
        return answer

    @property
    def silent_s(self) -> float:
        """One who pings goes on doing so. Another may have nothing to say while no picture comes:
        ICE's own consent notices, after half a minute, when it is gone."""
        return SILENT_S if self._channel.has_pinged else math.inf

    async def release(self) -> None:
        participants = self.stream.chunk_pipe.participants
        if self._participant in participants:  # else the stream has ended, and has said so
            participants.remove(self._participant)
            self.peer.send_event(
                StreamStopped(error_message=self.reason or "the server is stopping")
            )

    def on_channel(self) -> None:
        self.peer.send_event(self.stream.state_event())

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        self._channel.receive(raw, now_ns)

    def _on_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """Watchers may look at its stamps; their frames are not the stream's to answer for."""
        self.peer.send_timing(scheduled, sent_ns)

    def _refuse(self, parameters: Parameters) -> None:
        self._updates.on_refused(
            UpdateRefused(
                lane=-1, rev=-1, reason="this call only watches; its owner sets the style"
            )
        )
