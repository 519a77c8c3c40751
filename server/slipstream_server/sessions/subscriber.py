"""A subscriber's session: a call that only watches a stream."""

import math

from slipstream_protocol.messages import UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import StreamStopped
from slipstream_server.control.parameter_channel import ParameterChannel
from slipstream_server.control.update_queue import UpdateQueue
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.rtc.sound_transceiver import SoundTransceiver
from slipstream_server.rtp.sdp import Offer
from slipstream_server.sessions.session import PEER_SILENCE_MAX_S, Session
from slipstream_server.streams.chunk_pipe import Participant
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.stream import Stream


class SubscriberSession(Session):
    """A track of the stream's fan-out, and the stream's events; parameter updates are rejected.

    Args:
        stream: the one to watch.
    """

    def __init__(
        self,
        id: str,
        stream: Stream,
        *,
        servers: tuple[IceServer, ...],
        context: MediaContext,
    ) -> None:
        track = stream.fanout.track(self._on_frame_sent)
        sound = SoundTransceiver(stream.sound.track() if stream.sound.is_offered else None, None)
        super().__init__(id, track, track, servers, context, sound=sound)
        self.stream = stream
        self._participant = Participant(send=self.peer.send_event, end=self.end)
        self._updates = UpdateQueue(
            current=stream.state_event().parameters, apply=self._refuse, send=self.peer.send_event
        )
        self._channel = ParameterChannel(
            self._updates,
            send=self.peer.send_event,
            on_first_shown=lambda shown_ns, now_ns: None,
            on_client_stats=lambda stats, now_ns: context.metrics.media.observe_client(stats),
            on_level_answer=lambda keep: None,
        )

    async def answer(self, offer: Offer) -> str:
        """As `Session.answer`; the stream's events are sent from now on."""
        answer = await super().answer(offer)
        self.stream.chunk_pipe.participants.append(self._participant)
        if self.stream.end_reason is not None:
            self.end(f"the stream has ended: {self.stream.end_reason}")
        return answer

    @property
    def silence_max_s(self) -> float:
        """A page that pings goes on doing so. Any other subscriber may have nothing to send while
        no video comes: ICE consent (RFC 7675) finds out after half a minute when it is gone."""
        return PEER_SILENCE_MAX_S if self._channel.has_pinged else math.inf

    async def release(self) -> None:
        participants = self.stream.chunk_pipe.participants
        if self._participant in participants:  # else the stream has ended, and has sent its event
            participants.remove(self._participant)
            self.peer.send_event(StreamStopped.because(self.end_reason))

    def on_channel(self) -> None:
        self.peer.send_event(self.stream.state_event())

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        self._channel.receive(raw, now_ns)

    def _on_frame_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """The page may read the timing; the stream's own figures are not about its subscribers."""
        self.peer.frame_sent(scheduled, sent_ns)

    def _refuse(self, parameters: Parameters) -> None:
        self._updates.on_refused(
            UpdateRefused(
                lane=-1, rev=-1, reason="this call only watches; its owner sets the style"
            )
        )
