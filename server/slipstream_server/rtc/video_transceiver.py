"""A session's video both ways: our receiver and sender on one transceiver of aiortc's."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender
from aiortc.sdp import SessionDescription
from slipstream_protocol.clock import RTP_HZ

from slipstream_server.observability.media_metrics import MediaStats
from slipstream_server.receive.capture_time import FrameOrigin
from slipstream_server.receive.receiver import VideoOffer, VideoReceiver
from slipstream_server.rtp import aiortc_internals
from slipstream_server.rtp.h264_units import read_sprop
from slipstream_server.send import aiortc_sender
from slipstream_server.send.pacer import Pacer
from slipstream_server.send.sender_reports import SenderReports

_PARAMETER_SETS = "sprop-parameter-sets"
_NONE: Mapping[str, int] = {}


class OutgoingVideo(aiortc_sender.ViewerFeedback, Protocol):
    """How a session's picture is sent: encoded for this viewer alone, or for many."""

    pacer: Pacer

    @property
    def counts(self) -> Mapping[str, int]: ...

    def select_codec(self, codec: str) -> bool:
        """Use a negotiated codec; returns whether the track gives packets of it, or pictures."""
        ...


class VideoTransceiver:
    """The video of one session. The order of calls is::

        video = VideoTransceiver(pc, track, outgoing)
        await pc.setRemoteDescription(offer)
        video.negotiate(offer.description)
        await pc.setLocalDescription()
        await video.run()  # as long as the session lasts

    Args:
        pc: new.
        track: to be sent, None if nothing is; it belongs to the offer's first video. Its `recv`
            gives packets or pictures, as `outgoing.select_codec` returns.
        outgoing: of this viewer; None if nothing is sent.
        low_delay: whether the viewer is to show each frame at once. Without it the browser buffers
            more on a bad link, for an even picture.
        wanted_px: width and height that the received picture is scaled to.
    """

    def __init__(
        self,
        pc: RTCPeerConnection,
        track: MediaStreamTrack | None,
        outgoing: OutgoingVideo | None,
        *,
        low_delay: bool = True,
        wanted_px: tuple[int, int] = (0, 0),
    ) -> None:
        self.receiver: VideoReceiver | None = None
        self._sender: aiortc_sender.AiortcSender | None = None
        self._reports: SenderReports | None = None
        self._wanted_px = wanted_px
        self._outgoing = outgoing
        self._low_delay = low_delay
        self._transceiver = (
            pc.addTransceiver("video", direction="recvonly")
            if track is None
            else pc.addTransceiver(track)
        )
        aiortc_internals.prefer_h264(self._transceiver)

    @property
    def sender(self) -> RTCRtpSender:
        return self._transceiver.sender

    @property
    def last_rtp_timestamp(self) -> int:
        """RTP timestamp of the last packet sent."""
        return aiortc_sender.last_rtp_timestamp(self.sender)

    @property
    def received_packets(self) -> int:
        """Packets of all kinds, but STUN, from the viewer's side."""
        return aiortc_sender.received_packets(self.sender)

    @property
    def mid(self) -> str:
        """The name of its media section, once the offer is set."""
        return str(self._transceiver.mid)

    def negotiate(self, offer: SessionDescription, *, is_simulcast: bool = False) -> None:
        """Agree to the offer's extensions, and put our receiver and sender in place. Call it once.

        Args:
            is_simulcast: whether the offer announces several streams of the picture.

        Raises:
            InternalsChanged: if this aiortc is not built as we know it.
        """
        transceiver = self._transceiver
        offered = next(one for one in offer.media if one.rtp.muxId == transceiver.mid)
        transport_cc = aiortc_internals.add_extensions(
            transceiver, offered, low_delay=self._low_delay
        )
        if transceiver.receiver.track is not None:
            given = [
                text
                for codec in offered.rtp.codecs
                for name, text in codec.parameters.items()
                if name.strip() == _PARAMETER_SETS
            ]
            known = VideoOffer(
                transport_cc=transport_cc,
                wanted_px=self._wanted_px,
                is_simulcast=is_simulcast,
                parameter_sets=tuple(
                    unit for text in given if isinstance(text, str) for unit in read_sprop(text)
                ),
            )
            self.receiver = VideoReceiver(transceiver.receiver, known)
        if self._outgoing is None:
            return
        codec = aiortc_internals.sent_codec(transceiver)
        is_ours = self._outgoing.select_codec(codec)
        self._reports = SenderReports(transceiver.sender, RTP_HZ)
        self._sender = aiortc_sender.AiortcSender(
            transceiver.sender,
            codec,
            self._outgoing if is_ours else None,
            pacer=self._outgoing.pacer,
            low_delay=self._low_delay,
        )

    def note_sent(self, due_ns: int) -> None:
        """The last packet of a frame that was due then has been sent."""
        if self._reports is not None:
            self._reports.note(self.last_rtp_timestamp, due_ns)

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames of the camera that were dropped before they could be read, by cause."""
        return self.receiver.drops if self.receiver is not None else {}

    def frame_origin(self, pts: int) -> FrameOrigin | None:
        """The origin of the camera's picture with this pts; None if it is not known."""
        return self.receiver.frame_origin(pts) if self.receiver is not None else None

    def stats(
        self, *, sound_drops: Mapping[str, int] = _NONE, dropped_timings: int = 0
    ) -> MediaStats:
        """The totals so far.

        Args:
            sound_drops: packets of sound that were dropped, by cause.
        """
        received = self.receiver.counts() if self.receiver is not None else {}
        outgoing = self._outgoing
        return MediaStats(
            received={**received, **sound_drops},
            sent=outgoing.counts if outgoing is not None else {},
            bitrate_bps=outgoing.rate.bitrate_bps if outgoing is not None else None,
            paced_ns=outgoing.pacer.waited_ns if outgoing is not None else 0,
            dropped_timings=dropped_timings,
        )

    async def run(self) -> None:
        """Send the feedback on the incoming stream, and probe the outgoing one's link, when it is
        due, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self.receiver is not None:
                tasks.create_task(self.receiver.run(), name="feedback")
            if self._sender is not None:
                tasks.create_task(self._sender.run(), name="probes")
