"""One track on its way in: packets to the jitter buffer, frames to the decoder, feedback back.

The track may come as several streams (`layers.py`); those that are not decoded are not buffered.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns

from slipstream_server.errors import CameraRefused
from slipstream_server.receive.aiortc_receiver import AiortcReceiver
from slipstream_server.receive.capture_time import FrameOrigin
from slipstream_server.receive.frame_search import Packet
from slipstream_server.receive.incoming_stream import IncomingStream, Timeline
from slipstream_server.receive.jitter_buffer import JitterOutcome
from slipstream_server.receive.layers import LayerChoice
from slipstream_server.receive.picture_limits import check_announced
from slipstream_server.receive.transport_feedback import TransportFeedback
from slipstream_server.rtp.colour_extension import colours_of
from slipstream_server.rtp.depacketize import payload_content
from slipstream_server.rtp.picture_size import UnreadableSize, picture_sizes

logger = logging.getLogger(__name__)

_TRANSPORT_FEEDBACK_EVERY_NS = 50 * NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOffer:
    """What the offer and the engine say of a video before its first packet.

    Args:
        transport_cc: whether transport-wide feedback was negotiated.
        wanted_px: width and height that the picture is scaled to.
        is_simulcast: whether the sender has announced several streams of it.
        parameter_sets: of H.264, from the SDP.
    """

    transport_cc: bool
    wanted_px: tuple[int, int] = (0, 0)
    is_simulcast: bool = False
    parameter_sets: tuple[bytes, ...] = ()


class VideoReceiver:
    """Handles the packets of one aiortc receiver; `run` keeps the timers while none come.

    Args:
        receiver: of the track, not started.
        offer: what is known of the video.
    """

    def __init__(self, receiver: RTCRtpReceiver, offer: VideoOffer) -> None:
        self._aiortc = AiortcReceiver(receiver, self, transport_cc=offer.transport_cc)
        self._offer = offer
        self._layers = LayerChoice(offer.wanted_px, is_simulcast=offer.is_simulcast)
        self._streams: dict[int, IncomingStream] = {}  # by SSRC: the one shown, the one coming
        self._has_begun = False
        self._timeline = Timeline()
        self._feedback = TransportFeedback() if offer.transport_cc else None
        self._feedback_due_ns: int | None = None
        self._counts: Counter[str] = Counter()  # of requests, and of streams that are gone
        self._pending_nack: dict[int, tuple[int, ...]] = {}  # by SSRC
        self._pending_pli: set[int] = set()
        self._is_refused = False  # the picture, for its size
        self._wake_ns: int | None = None
        self._due_sooner = asyncio.Event()

    @property
    def track(self) -> MediaStreamTrack:
        """The decoded pictures."""
        return self._aiortc.track

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames dropped: `undecoded` where the decoder was too slow, `unread` where the event
        loop was."""
        return {
            "undecoded": self._aiortc.decoder_queue.dropped,
            "unread": self._aiortc.track_queue.dropped,
        }

    def frame_origin(self, pts: int) -> FrameOrigin | None:
        """The origin of the picture with this pts; None if it is not one of the last."""
        found = (stream.origins.origin_of(pts) for stream in self._streams.values())
        return next((origin for origin in found if origin is not None), None)

    def counts(self) -> Mapping[str, int]:
        """What was requested (`nack` packets, `pli`), and what was dropped by cause; `unreadable`
        are frames whose picture nobody knows the size of."""
        counts = self._counts + Counter(self.drops)
        for stream in self._streams.values():
            counts.update(stream.buffer.drops)
        return counts

    async def run(self) -> None:
        """Send requests and reports when they are due, until cancelled."""
        while True:
            self._due_sooner.clear()
            self._wake_ns = self._due_ns()
            wait_s = None
            if self._wake_ns is not None:
                wait_s = max(0.0, (self._wake_ns - now_ns()) / NS_PER_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._due_sooner.wait()
            except TimeoutError:
                for ssrc, stream in list(self._streams.items()):
                    self._apply(ssrc, stream.buffer.poll(now_ns()))
                self._forget_streams()
                await self.send_feedback()

    # ---- as the packets come

    def on_arrival(self, transport_sequence: int, arrival_ns: int) -> None:
        """A packet with a number of the transport's has come."""
        if self._feedback is None:
            return
        self._feedback.add(transport_sequence, arrival_ns)
        if self._feedback_due_ns is None:
            self._feedback_due_ns = arrival_ns + _TRANSPORT_FEEDBACK_EVERY_NS

    def on_sender_report(self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """A sender report has come."""
        if ssrc in self._streams:
            self._streams[ssrc].origins.on_sender_report(ntp_timestamp, rtp_timestamp)

    def on_goodbye(self, sources: Sequence[int]) -> bool:
        """Streams have ended; returns whether the track goes on with another one."""
        return self._layers.on_goodbye(sources, now_ns())

    def on_packet(self, packet: RtpPacket, codec: str, data: bytes) -> None:
        """A packet of a stream has come."""
        ssrc, arrival_ns = packet.ssrc, now_ns()
        content = payload_content(codec, packet.payload)
        is_used = self._layers.on_packet(ssrc, packet.timestamp, content.size_px, arrival_ns)
        if unsized := self._layers.take_unsized(arrival_ns):
            self._pending_pli.update(unsized)
        if not is_used:
            return
        stream = self._streams.get(ssrc)
        if stream is None:
            stream = self._streams[ssrc] = IncomingStream(
                self._offer.parameter_sets, is_first=not self._has_begun
            )
            self._has_begun = True
        if codec == "H264":
            stream.parameter_sets.on_payload(packet.payload)
        stream.origins.on_packet(packet.timestamp, arrival_ns, colours=colours_of(packet))
        outcome = stream.buffer.add(
            Packet(
                sequence=packet.sequence_number,
                timestamp=packet.timestamp,
                payload_type=packet.payload_type,
                marker=bool(packet.marker),
                starts_frame=content.starts_frame,
                is_key=content.is_key,
                data=data,
            ),
            arrival_ns,
        )
        self._apply(ssrc, outcome)
        self._forget_streams()

    async def send_feedback(self) -> None:
        """Send the requests and the report that are due."""
        if self._pending_nack or self._pending_pli:
            await self._send_requests()
        if self._feedback_due_ns is not None and now_ns() >= self._feedback_due_ns:
            self._feedback_due_ns = None
            await self._send_transport_feedback()
        due_ns = self._due_ns()
        if due_ns is not None and (self._wake_ns is None or due_ns < self._wake_ns):
            self._due_sooner.set()

    async def _send_requests(self) -> None:
        nacks, self._pending_nack = self._pending_nack, {}
        plis, self._pending_pli = self._pending_pli, set()
        for ssrc, sequences in nacks.items():
            self._counts["nack"] += len(sequences)
            await self._aiortc.send_nack(ssrc, sequences)
        for ssrc in plis:
            self._counts["pli"] += 1
            await self._aiortc.send_pli(ssrc)

    async def _send_transport_feedback(self) -> None:
        fci = self._feedback.report() if self._feedback is not None else None
        if fci is not None:
            await self._aiortc.send_transport_feedback(self._layers.shown or 0, fci)

    def _apply(self, ssrc: int, outcome: JitterOutcome) -> None:
        """Decode the frames; keep the requests for `send_feedback`."""
        stream, arrival_ns = self._streams[ssrc], now_ns()
        for frame in outcome.frames:
            if not self._layers.on_whole_frame(ssrc):
                continue
            pts = self._timeline.pts(ssrc, frame.timestamp, arrival_ns)
            stream.origins.on_release(frame.timestamp, pts, is_key=frame.needs_none_before)
            codec = self._aiortc.codec_name(frame.payload_type)
            data = stream.data_of(frame, codec)
            is_known = self._is_size_known(codec, data)
            if self._is_refused:
                return
            if not is_known or not self._aiortc.decode(frame.payload_type, data, pts):
                stream.buffer.require_key_frame()
        if outcome.nack:
            self._pending_nack[ssrc] = self._pending_nack.get(ssrc, ()) + outcome.nack
        if outcome.pli:
            self._pending_pli.add(ssrc)

    def _is_size_known(self, codec: str, data: bytes) -> bool:
        """Whether it can be told how large a frame's picture is; a size that is refused ends the
        track, for good."""
        try:
            for size in picture_sizes(codec, data):
                check_announced(size)
        except UnreadableSize as error:
            if not self._counts["unreadable"]:
                logger.info("a frame is left out, as others like it will be: %s", error)
            self._counts["unreadable"] += 1
            return False
        except CameraRefused as error:
            self._is_refused = True
            self._aiortc.track_queue.fail(error)
        return True

    def _forget_streams(self) -> None:
        """Forget those that are neither shown nor coming."""
        if len(self._streams) == 1 and self._layers.shown in self._streams:
            return
        used = (self._layers.shown, self._layers.coming)
        for ssrc in [ssrc for ssrc in self._streams if ssrc not in used]:
            self._counts.update(self._streams.pop(ssrc).buffer.drops)

    def _due_ns(self) -> int | None:
        soonest_ns = self._feedback_due_ns
        for stream in self._streams.values():
            due_ns = stream.buffer.due_ns()
            if due_ns is not None and (soonest_ns is None or due_ns < soonest_ns):
                soonest_ns = due_ns
        return soonest_ns
