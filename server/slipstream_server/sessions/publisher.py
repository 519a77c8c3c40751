"""A publisher's session: the call that sends a stream's camera."""

import asyncio
import logging
from collections.abc import Mapping

from aiortc.mediastreams import MediaStreamError

from slipstream_server.control.events import SERVER_STOPS
from slipstream_server.errors import CameraRefused
from slipstream_server.frames.playout import Playout, ScheduledFrame
from slipstream_server.ice.ice_servers import IceServer
from slipstream_server.receive.camera import CameraIngest
from slipstream_server.rtc.sound_transceiver import SoundTransceiver
from slipstream_server.rtp.sdp import Offer
from slipstream_server.send.output_track import OutputTrack
from slipstream_server.sessions.session import PEER_SILENCE_MAX_S, Session
from slipstream_server.streams.chunk_pipe import Participant, total_drops
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.stream import Stream

logger = logging.getLogger(__name__)

_REPORTS_SILENCE_MAX_S = 8.0  # RTCP reports are at most 7.5 s apart (RFC 3550, section 6.2)


class PublisherSession(Session):
    """Camera frames go to the stream; generated frames come back, if the stream returns them.

    Args:
        stream: new or held.
    """

    def __init__(
        self,
        id: str,
        stream: Stream,
        *,
        servers: tuple[IceServer, ...],
        context: MediaContext,
    ) -> None:
        geometry, sizes = stream.ready.geometry, stream.ready.sizes
        largest = sizes[0].size if sizes else geometry.size
        output = None
        if stream.returns_video:
            playout = Playout(chunk_frames=geometry.chunk_frames)
            output = OutputTrack(playout, context.new_encoder(), on_sent=self._on_frame_sent)
        hears = context.sound and stream.returns_video
        super().__init__(
            id,
            output,
            output.encoding if output else None,
            servers,
            context,
            wanted_px=(largest.width_px, largest.height_px),
            sound=SoundTransceiver(
                stream.sound.track() if hears else None,
                stream.sound.push if context.sound else None,
            ),
        )
        self.stream = stream
        self.client = ""  # the address it is counted under, once its stream is its own
        self.output = output
        self.participant = Participant(send=self.peer.send_event, end=self.end)
        self._ingest: CameraIngest | None = None

    async def answer(self, offer: Offer) -> str:
        """As `Session.answer`; whoever comes to the stream from now on is offered its sound."""
        answer = await super().answer(offer)
        self.stream.sound.is_offered = self.peer.brings_sound
        return answer

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames dropped on this call, in either direction, by cause."""
        ingested = self._ingest.drops if self._ingest else {}
        played = self.output.playout.drops if self.output else {}
        return total_drops(self.peer.drops, ingested, played)

    @property
    def silence_max_s(self) -> float:
        """A page always sends something. A publisher by WHIP may have no picture for long, as of a
        window in which nothing moves; then nothing comes but its reports."""
        return PEER_SILENCE_MAX_S if self.stream.returns_video else _REPORTS_SILENCE_MAX_S

    @property
    def resume_token(self) -> str:
        return self.stream.resume_token

    async def serve(self) -> None:
        await self.peer.connected.wait()
        if self.peer.camera is None:
            self.end("the offer's video brings no camera", ends_stream=True)
            return
        self._ingest = ingest = CameraIngest(
            self.peer.camera,
            size_for=self.stream.chunk_pipe.size_for,
            pool=self.context.pool,
            on_frame=self.stream.on_frame,
            frame_origin=self.peer.frame_origin,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain(ingest), name="drain")
            group.create_task(ingest.scale(), name="scale")

    async def release(self) -> None:
        reason = self.end_reason or SERVER_STOPS
        self.stream.detach(self, reason, ends_stream=self.ends_stream)
        if self.stream.end_reason is not None:
            await self.stream.ended.wait()

    def on_connected(self) -> None:
        self.stream.on_connected()

    def on_channel(self) -> None:
        self.peer.send_event(self.stream.state_event())
        if self.stream.recorder.can_record:
            self.peer.send_event(self.stream.recorder.state)

    def on_message(self, raw: str | bytes, now_ns: int) -> None:
        self.stream.receive(raw, now_ns)

    def _on_frame_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        self.peer.frame_sent(scheduled, sent_ns)
        self.stream.on_frame_sent(scheduled, sent_ns, rtp_timestamp=self.peer.last_rtp_timestamp)

    async def _drain(self, ingest: CameraIngest) -> None:
        try:
            await ingest.drain()
        except MediaStreamError:
            self.end("the camera's track has ended")
        except CameraRefused as error:
            self.end(str(error), ends_stream=True)
