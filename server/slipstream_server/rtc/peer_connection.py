"""One WebRTC connection: answers an offer, and reports what happens on the connection."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

import msgspec
from aiortc import (
    MediaStreamTrack,
    RTCDataChannel,
    RTCIceCandidate,
    RTCPeerConnection,
    RTCSessionDescription,
)
from slipstream_protocol.clock import now_ns

from slipstream_server.errors import RequestError, ServerFull
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.ice.ice_servers import IceServer, rtc_configuration
from slipstream_server.ice.media_port import MediaPort
from slipstream_server.ice.reachability import is_reachable
from slipstream_server.ice.udp_ports import is_out_of_descriptors, sockets_taken
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.receive.capture_time import FrameOrigin
from slipstream_server.rtc.connecting import ConnectionAttempt
from slipstream_server.rtc.data_channel_limits import DataChannelLimit
from slipstream_server.rtc.event_channel import EventChannel
from slipstream_server.rtc.late_datagrams import lose_late_datagrams
from slipstream_server.rtc.sound_transceiver import SoundTransceiver
from slipstream_server.rtc.video_transceiver import OutgoingVideo, VideoTransceiver
from slipstream_server.rtp import aiortc_internals
from slipstream_server.rtp.aiortc_internals import InternalsChanged
from slipstream_server.rtp.ice_lite import is_ice_lite, with_ice_lite
from slipstream_server.rtp.media_sections import MediaSections
from slipstream_server.rtp.sdp import Offer, ice_ufrag, with_start_bitrate
from slipstream_server.rtp.simulcast import read_simulcast, with_layers
from slipstream_server.send.frame_timing import FrameTimes, TimingChannel
from slipstream_server.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

CHANNEL_LABEL = "parameters"
TIMING_LABEL = "timing"
_CHANNELS_MAX = 8
_INCOMING_BYTES_PER_S = 256 << 10  # a page's updates are a few kilobytes a second
_INCOMING_BURST_BYTES = 2 << 20
_FLUSH_S = 1.0
_CONNECTING_S = 1.0  # what connects at all has mostly connected by then


class PeerConnection:
    """A connection that may send a picture, and receive a camera's and data channels.

    Args:
        output: the picture to send; None if none is.
        outgoing: how it is sent; None if none is.
        low_delay: whether the viewer is to show each frame at once.
        servers: STUN and TURN, if any.
        media_addressing: ports and addresses of its media.
        media_port: that its media share with other calls'; None if it has ports of its own.
        on_open: called when the page has opened its channel.
        on_message: called with each of its messages, and when it came, in ns on the monotonic
            clock.
        wanted_px: width and height that the camera's picture is scaled to.
        sound: both ways, as far as the offer has it; None if none is sent or taken.
    """

    def __init__(
        self,
        output: MediaStreamTrack | None,
        outgoing: OutgoingVideo | None,
        *,
        low_delay: bool,
        servers: tuple[IceServer, ...],
        media_addressing: MediaAddressing,
        media_port: MediaPort | None = None,
        on_open: Callable[[], None],
        on_message: Callable[[str | bytes, int], None],
        wanted_px: tuple[int, int] = (0, 0),
        sound: SoundTransceiver | None = None,
    ) -> None:
        self.camera: MediaStreamTrack | None = None
        self.connected = asyncio.Event()
        self.settled = asyncio.Event()  # it is connected, or has ended without
        self.ice_ufrags = ("", "")  # the ICE user names of the other side and of ours
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._media_addressing = media_addressing
        self._media_port = media_port
        self._on_open = on_open
        self._on_message = on_message
        self._events: EventChannel | None = None
        self._timings: TimingChannel | None = None
        self._opened_channels = 0
        self._incoming = TokenBucket(rate_per_s=_INCOMING_BYTES_PER_S, burst=_INCOMING_BURST_BYTES)
        self._attempt: ConnectionAttempt | None = None
        self._sections = MediaSections()
        self._sound = sound if sound is not None else SoundTransceiver(None, None)
        self._pc = RTCPeerConnection(rtc_configuration(servers))
        self._pc.on("connectionstatechange", self._on_state_change)
        self._pc.on("track", self._on_track)
        self._pc.on("datachannel", self._on_data_channel)
        # before the offer is set: it then belongs to the offer's first video
        self._video = VideoTransceiver(
            self._pc, output, outgoing, low_delay=low_delay, wanted_px=wanted_px
        )

    async def answer(self, offer: Offer) -> str:
        """The answer's SDP; never waits for DNS or for STUN longer than `ice.gathering.GATHER_S`.

        Raises:
            RequestError: if the offer cannot be answered.
            PortsTaken, SocketsTaken: if no UDP port or socket is left for it.
            InternalsChanged: if the installed aiortc is not built as we know it.
        """
        self._sections = offer.sections
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
            aiortc_internals.answer_passively(self._pc, offer.description)
            layers = read_simulcast(offer.sdp, self._video.mid)
            self._video.negotiate(offer.description, is_simulcast=layers is not None)
            self._sound.negotiate(self._pc)
            self._attempt = ConnectionAttempt(self._pc, self._end)
            # two lite agents would wait for each other's checks (RFC 8445, section 6.1.1)
            is_lite = self._media_addressing.is_reachable and not is_ice_lite(offer.description)
            bound_gathering(
                self._pc,
                media_addressing=self._media_addressing,
                media_port=self._media_port,
                is_lite=is_lite,
            )
            if self._pc.sctp is not None:
                DataChannelLimit(self._pc.sctp, self._admit, self._on_unreadable)
                lose_late_datagrams(self._pc.sctp)
            await self._pc.setLocalDescription()
        except (InternalsChanged, ServerFull):
            raise
        except Exception as error:  # aiortc raises whatever it runs into at a bad offer
            if isinstance(error, OSError) and is_out_of_descriptors(error):
                raise sockets_taken(error) from error
            logger.info("offer refused", exc_info=True)
            raise RequestError(
                f"the offer cannot be answered: {error or type(error).__name__}; it needs VP8 or "
                "H264 and the usual WebRTC attributes"
            ) from error
        self._video.sender.transport.on("statechange", self._on_transport_change)
        answer = self._pc.localDescription.sdp
        self.ice_ufrags = ice_ufrag(offer.sdp), ice_ufrag(answer)
        if is_lite:
            answer = with_ice_lite(answer)
        return offer.sections.answered(with_layers(with_start_bitrate(answer), layers))

    async def run(self) -> None:
        """Send feedback and probes when they are due, until cancelled."""
        await self._video.run()

    async def add_candidate(self, candidate: RTCIceCandidate | None) -> None:
        """Add an address of the other side; None for the end of them."""
        if candidate is not None:
            place = self._sections.place(candidate.sdpMid, candidate.sdpMLineIndex)
            if place is None:
                logger.info("candidate %s left out: it is of no media that is taken", candidate)
                return
            candidate.sdpMid, candidate.sdpMLineIndex = place
        try:
            await self._pc.addIceCandidate(candidate)
        except Exception as error:  # the parsers of names raise whatever they run into
            logger.info("candidate %s left out: %r", candidate, error)

    async def is_reachable(self) -> bool:
        """Whether the other side is there, asked now; one that connects is waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONNECTING_S):
                await self.settled.wait()
        if not self.connected.is_set() or self.ended.done():
            return False
        return await is_reachable(self._video.sender.transport.transport.iceGatherer._connection)

    def send_event(self, event: msgspec.Struct) -> None:
        """Send an event if the page has opened its channel; drop it while that is full."""
        if self._events is not None:
            self._events.send(event)

    def frame_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """A frame was sent just now; its times go to a page that has opened a channel for them.
        Those of a frame that is repeated were sent with the first."""
        self._video.note_sent(scheduled.play_ns)
        if self._timings is not None and not scheduled.generated.repeated_after_ns:
            rtp_timestamp = self.last_rtp_timestamp
            self._timings.send(
                FrameTimes(rtp_timestamp=rtp_timestamp, scheduled=scheduled, sent_ns=sent_ns)
            )

    def frame_origin(self, pts: int) -> FrameOrigin | None:
        """The origin of the camera's picture with this pts."""
        return self._video.frame_origin(pts)

    @property
    def media_stats(self) -> MediaStats:
        """The media's totals so far."""
        return self._video.stats(
            sound_drops=self._sound.drops,
            dropped_timings=self._timings.dropped_messages if self._timings else 0,
        )

    @property
    def brings_sound(self) -> bool:
        """Whether the other side may send sound."""
        return self._sound.is_received

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames of the camera that were dropped before they could be read, by cause."""
        return self._video.drops

    @property
    def last_rtp_timestamp(self) -> int:
        """Of the last packet sent."""
        return self._video.last_rtp_timestamp

    @property
    def received_packets(self) -> int:
        """Packets of all kinds, but STUN."""
        return self._video.received_packets

    async def close(self) -> None:
        """Send the events that are still buffered, for up to a second, then close."""
        if self._events is not None:
            await self._events.flush(_FLUSH_S)
            if self._events.dropped_events:
                logger.info("%d events were not read fast enough", self._events.dropped_events)
        try:
            await self._pc.close()
        except Exception:  # aiortc raises whatever it runs into where it is set up only half
            logger.exception("the connection was not closed as a whole")
        logger.info("video: %s", self.media_stats.summary())
        self._end("the connection was closed here")

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
            self.settled.set()

    def _on_state_change(self) -> None:
        state = self._pc.connectionState
        logger.info("connection %s", state)
        if state == "connected":
            self.connected.set()
            self.settled.set()
        elif state in ("failed", "closed"):
            is_attempt = state == "failed" and not self.connected.is_set()
            failure = self._attempt.failure() if self._attempt and is_attempt else ""
            self._end(failure or f"the connection has {state}")

    def _on_transport_change(self) -> None:
        if self._video.sender.transport.state in ("closed", "failed"):
            self._end("the viewer has hung up")

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self.camera is None:
            self.camera = track

    def _admit(self, size_bytes: int) -> bool:
        """Whether so many bytes may still come on the data channels."""
        admitted = self._incoming.take(size_bytes, now_ns())
        if not admitted:
            self._end(
                f"the data channel brings more than {_INCOMING_BYTES_PER_S >> 10} KiB a second; "
                "send less"
            )
        return admitted

    def _on_unreadable(self, error: Exception) -> None:
        self._end(
            f"the data channel brings what cannot be read ({type(error).__name__}: {error}); "
            "send JSON as UTF-8 text"
        )

    def _on_data_channel(self, channel: RTCDataChannel) -> None:
        self._opened_channels += 1
        if self._opened_channels > _CHANNELS_MAX:
            self._end(f"more than {_CHANNELS_MAX} data channels were opened; open fewer")
            return
        if channel.label == TIMING_LABEL and self._timings is None:
            self._timings = TimingChannel(channel)
            return
        if channel.label != CHANNEL_LABEL or self._events is not None:
            logger.info("data channel %r is not used", channel.label)
            return
        self._events = EventChannel(channel)
        channel.on("message", self._on_channel_message)
        self._on_open()

    def _on_channel_message(self, message: str | bytes) -> None:
        try:
            self._on_message(message, now_ns())
        except Exception:  # it must not reach aiortc, which would go on half broken
            logger.exception("a message could not be served")
            self._end("the server has failed at a message; its log has the reason")
