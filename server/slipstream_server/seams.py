"""Where our video meets aiortc's insides: every private name of aiortc's that the video uses.

aiortc 1.16 has no public way to choose how a frame is reassembled, how the bitrate is followed or
which header extensions travel. Its objects are plain, so each call gets objects of ours in their
places. Only instances are changed, before the call begins; modules and their constants are never.
A name that is gone raises `SeamMoved` when a call begins, and `tests/server/test_seams.py` says so
before that.

On the connection, between the offer and the answer:

* `_set_role` of the DTLS transports: where the offer leaves the choice, the other side begins the
  handshake. aiortc's own end takes ECDSA certificates only when it begins itself, and the
  certificates of GStreamer, of some libdatachannel and OpenSSL builds are RSA.

On the transceiver, between the offer and the answer:

* `_headerExtensions`, `_codecs[].rtcpFeedback`: playout-delay and transport-cc are added, with the
  offer's numbers. aiortc's own list is a module constant. `_codecs[0]` is what will be sent.

On the receiver, before it is started:

* `__jitter_buffer`: a tap that passes each packet, its payload unpacked, to our `Reception`, and
  never returns a frame: our jitter buffer needs the time, and may release several frames at once.
* `__nack_generator`: None, as our jitter buffer asks for what is lost, more than once.
* `__remote_bitrate_estimator`: None where transport-cc is used; a browser obeys both, and the
  estimate is the slower one.
* `__decoder_queue`, `_track._queue`: queues with a bound.
* `_handle_rtp_packet`: wrapped, to see the transport-wide number and to send our feedback after.
* `__codecs`, `__rtcp_ssrc`, `_send_rtcp_nack`, `_send_rtcp_pli`, `transport._send_rtp`: used as
  they are.

On the sender, before it is started:

* `__rtp_header_extensions_map`: a subclass that adds playout-delay to every packet.
* `_send_keyframe`: the viewer's PLI or FIR comes to our encoder.
* `_handle_rtcp_packet`: wrapped, to hear REMB and reception reports, and to leave out requests for
  packets that would only fill the link.
* `__rtp_history`, `__rtt`, `__rtp_timestamp`, `_ssrc`: read.
* `transport.__rx_packets`: read, since a peer that sends nothing at all has vanished.
* `transport` (by the public `setTransport`): a stand-in that spaces out the packets of large
  frames. `__rtp_task` tells those from retransmissions, sent on another task, which never wait.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Protocol

from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
)
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_RTPFB,
    RTCP_RTPFB_NACK,
    RTP_HISTORY_SIZE,
    AnyRtcpPacket,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    RtpPacket,
    pack_header_extensions,
    pack_rtcp_packet,
    unpack_header_extensions,
    unpack_remb_fci,
)
from aiortc.sdp import MediaDescription, SessionDescription
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.bounded import DecoderQueue, TrackQueue
from slipstream_server.jitter import EncodedFrame
from slipstream_server.pacer import Pacer
from slipstream_server.payloads import content
from slipstream_server.resend import Resends

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
_TRANSPORT_CC_FORMAT = 15  # of RTPFB

Handle = Callable[[AnyRtcpPacket], Awaitable[None]]


class SeamMoved(RuntimeError):
    """This aiortc is not built as we know it; a version that is can be installed."""


def private(owner: object, name: str) -> Any:
    """An attribute of aiortc's own.

    Raises:
        SeamMoved: if there is none of that name.
    """
    try:
        return getattr(owner, name)
    except AttributeError:
        raise SeamMoved(
            f"{type(owner).__name__} of aiortc {version('aiortc')} has no {name}, "
            "install a version that pyproject.toml allows"
        ) from None


def _replace(owner: object, name: str, part: object) -> None:
    private(owner, name)
    setattr(owner, name, part)


# ---- connection


def answer_passively(pc: RTCPeerConnection, offer: str) -> None:
    """Leave the first word of the DTLS handshake to the other side where the offer allows it."""
    media = SessionDescription.parse(offer).media
    if any(one.dtls is None or one.dtls.role != "auto" for one in media):
        return
    transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        transports.append(pc.sctp.transport)
    for transport in transports:
        private(transport, "_set_role")("server")


# ---- transceiver


def prefer_h264(transceiver: RTCRtpTransceiver) -> None:
    """Answer with H.264 first, VP8 behind it. Has no effect once the offer is set.

    Retransmission (RTX) stays in the list; aiortc drops it silently where it is left out.
    """
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences(
        sorted(codecs, key=lambda codec: codec.mimeType.lower() != "video/h264")
    )


def add_extensions(
    transceiver: RTCRtpTransceiver, offered: MediaDescription, *, low_delay: bool
) -> bool:
    """Agree to playout-delay and transport-cc where they are offered; True if the latter is.

    Args:
        low_delay: whether the viewer shall show each frame at once. That the former is declined
            tells our page that it shall not.
    """
    feedback = RTCRtcpFeedback(type="transport-cc")
    numbers = {extension.uri: extension for extension in offered.rtp.headerExtensions}
    agreed: list[RTCRtpHeaderExtensionParameters] = private(transceiver, "_headerExtensions")
    if low_delay and PLAYOUT_DELAY in numbers:
        agreed.append(numbers[PLAYOUT_DELAY])
    if TRANSPORT_CC not in numbers or not any(
        feedback in codec.rtcpFeedback for codec in offered.rtp.codecs
    ):
        return False
    agreed.append(numbers[TRANSPORT_CC])
    for codec in private(transceiver, "_codecs"):
        if not is_rtx(codec):
            codec.rtcpFeedback.append(feedback)
    return True


def sent_codec(transceiver: RTCRtpTransceiver) -> str:
    """The codec this side will send, as aiortc names it ("H264", "VP8")."""
    codec: str = private(transceiver, "_codecs")[0].name
    return codec


# ---- receiver


class PacketTaker(Protocol):
    """Who gets the packets."""

    def on_arrival(self, transport_sequence: int | None, arrival_ns: int) -> None: ...

    def on_sender_report(self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int) -> None: ...

    def take(self, packet: RtpPacket, codec: str, data: bytes) -> None: ...

    async def respond(self) -> None: ...


class ReceiverSeam:
    """One receiver of aiortc's, its packets and frames in our hands.

    Args:
        receiver: with a track, not started.
        taker: is given each packet.
        transport_cc: whether that was agreed on.
    """

    def __init__(self, receiver: RTCRtpReceiver, taker: PacketTaker, *, transport_cc: bool) -> None:
        self._receiver = receiver
        self._taker = taker
        self._codecs: dict[int, Any] = private(receiver, "_RTCRtpReceiver__codecs")
        self.decoder_queue = DecoderQueue()
        self.track_queue = TrackQueue()
        for name in ("_send_rtcp_nack", "_send_rtcp_pli", "_RTCRtpReceiver__rtcp_ssrc"):
            private(receiver, name)
        _replace(receiver, "_RTCRtpReceiver__jitter_buffer", self)
        _replace(receiver, "_RTCRtpReceiver__nack_generator", None)
        if transport_cc:
            _replace(receiver, "_RTCRtpReceiver__remote_bitrate_estimator", None)
        _replace(receiver, "_RTCRtpReceiver__decoder_queue", self.decoder_queue)
        _replace(receiver.track, "_queue", self.track_queue)
        self._handle: Callable[..., Awaitable[None]] = private(receiver, "_handle_rtp_packet")
        _replace(receiver, "_handle_rtp_packet", self._handle_and_respond)
        self._handle_rtcp: Handle = private(receiver, "_handle_rtcp_packet")
        _replace(receiver, "_handle_rtcp_packet", self._hear)

    @property
    def track(self) -> MediaStreamTrack:
        """The decoded pictures."""
        return self._receiver.track

    def decode(self, frame: EncodedFrame, pts: int) -> bool:
        """Pass a frame to the decoder; False if it is too far behind to take any."""
        task = (self._codecs[frame.payload_type], _Task(frame.data, pts))
        return self.decoder_queue.offer(task)

    async def nack(self, ssrc: int, sequences: tuple[int, ...]) -> None:
        """Ask for packets again."""
        await private(self._receiver, "_send_rtcp_nack")(ssrc, list(sequences))

    async def pli(self, ssrc: int) -> None:
        """Ask for a key frame."""
        await private(self._receiver, "_send_rtcp_pli")(ssrc)

    async def report(self, ssrc: int, fci: bytes) -> None:
        """Send a transport-cc report."""
        own: int | None = private(self._receiver, "_RTCRtpReceiver__rtcp_ssrc")
        payload = struct.pack("!LL", own or 0, ssrc) + fci
        packet = pack_rtcp_packet(RTCP_RTPFB, _TRANSPORT_CC_FORMAT, payload)
        try:
            await private(self._receiver.transport, "_send_rtp")(packet)
        except ConnectionError:
            return  # the call is ending

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc asks of its jitter buffer: PLI or not, and a frame or none."""
        codec = self._codecs[packet.payload_type]
        self._taker.take(packet, codec.name, private(packet, "_data"))
        return False, None

    async def _handle_and_respond(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        self._taker.on_arrival(packet.extensions.transport_sequence_number, now_ns())
        await self._handle(packet, arrival_time_ms=arrival_time_ms)
        await self._taker.respond()

    async def _hear(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            told = packet.sender_info
            self._taker.on_sender_report(packet.ssrc, told.ntp_timestamp, told.rtp_timestamp)
        await self._handle_rtcp(packet)


class _Task:
    """What aiortc's decoders read of a frame."""

    def __init__(self, data: bytes, timestamp: int) -> None:
        self.data = data
        self.timestamp = timestamp


# ---- sender


class SenderEvents(Protocol):
    """What the viewer's side says of the picture sent."""

    def on_key_request(self) -> None: ...

    def on_remb(self, bitrate_bps: int) -> None: ...

    def on_report(self, *, packets_lost: int, highest_sequence: int, now_ns: int) -> None: ...


class SenderSeam:
    """One sender of aiortc's, what it hears passed on to `events`.

    Args:
        sender: not started; its transport is settled, which it is once the offer is set.
        codec: that it sends, as aiortc names it.
        events: is told; None leaves rate and key frames to aiortc's own encoder.
        pacer: spaces out its packets.
        low_delay: whether the viewer is asked to show each frame at once.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        codec: str,
        events: SenderEvents | None,
        *,
        pacer: Pacer,
        low_delay: bool,
    ) -> None:
        self._sender = sender
        self._codec = codec
        self._events = events
        self._ssrc: int = private(sender, "_ssrc")
        self._history: dict[int, RtpPacket] = private(sender, "_RTCRtpSender__rtp_history")
        self._resends = Resends(self._keeps)
        if low_delay:
            _replace(sender, "_RTCRtpSender__rtp_header_extensions_map", PlayoutDelayMap())
        if events is not None:
            _replace(sender, "_send_keyframe", events.on_key_request)
        self._request_key: Callable[[], None] = private(sender, "_send_keyframe")
        self._handle: Handle = private(sender, "_handle_rtcp_packet")
        _replace(sender, "_handle_rtcp_packet", self._hear)
        private(sender.transport, "_send_rtp")
        # it stands in for the real one in all that a sender does with it
        transport = PacedTransport(sender, pacer, on_sent=self._note_key)
        sender.setTransport(transport)  # type: ignore[arg-type]

    async def _hear(self, packet: AnyRtcpPacket) -> None:
        if self._events is not None:
            self._tell(self._events, packet)
        if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            rtt_s: float | None = private(self._sender, "_RTCRtpSender__rtt")
            answer = self._resends.answer(packet.lost, now_ns(), int((rtt_s or 0) * NS_PER_S))
            if answer.needs_key:
                self._request_key()
            packet = replace(packet, lost=list(answer.sequences))
        await self._handle(packet)

    def _tell(self, events: SenderEvents, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    events.on_report(
                        packets_lost=report.packets_lost,
                        highest_sequence=report.highest_sequence,
                        now_ns=now_ns(),
                    )
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            estimate_bps = read_remb(packet.fci, self._ssrc)
            if estimate_bps is not None:
                events.on_remb(estimate_bps)

    def _note_key(self, sequence: int) -> None:
        packet = self._history[sequence % RTP_HISTORY_SIZE]
        found = content(self._codec, packet.payload)
        if found.begins and found.key:
            self._resends.key_sent(sequence)

    def _keeps(self, sequence: int) -> bool:
        packet = self._history.get(sequence % RTP_HISTORY_SIZE)
        return packet is not None and packet.sequence_number == sequence


def read_remb(fci: bytes, ssrc: int) -> int | None:
    """The estimate in bit/s if the message is one, is whole, and speaks of `ssrc`."""
    try:
        bitrate_bps, ssrcs = unpack_remb_fci(fci)
    except (ValueError, struct.error):
        return None
    return bitrate_bps if ssrc in ssrcs else None


def last_rtp_timestamp(sender: RTCRtpSender) -> int:
    """The RTP time of the last packet `sender` has sent.

    aiortc adds a random origin to every pts and keeps the sum to itself, for its sender reports.
    """
    timestamp: int = private(sender, "_RTCRtpSender__rtp_timestamp")
    return timestamp


def received_packets(sender: RTCRtpSender) -> int:
    """Packets of all kinds, but STUN, that the sender's transport has brought so far."""
    count: int = private(sender.transport, "_RTCDtlsTransport__rx_packets")
    return count


class PlayoutDelayMap(HeaderExtensionsMap):
    """Adds "between 0 and 0 ms" to every packet where the viewer knows the extension.

    Source: http://www.webrtc.org/experiments/rtp-hdrext/playout-delay.
    """

    def __init__(self) -> None:
        super().__init__()
        self._id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == PLAYOUT_DELAY:
                self._id = extension.id

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, packed = super().set(values)
        if self._id is None:
            return profile, packed
        extensions = unpack_header_extensions(profile, packed)
        return pack_header_extensions([*extensions, (self._id, bytes(3))])


class PacedTransport:
    """The sender's DTLS transport, waiting after a packet where the pacer says so.

    aiortc stamps a packet just before it sends it: waiting afterwards keeps that stamp true.

    Args:
        on_sent: is told the number of each packet, but not of those sent again.
    """

    def __init__(
        self, sender: RTCRtpSender, pacer: Pacer, *, on_sent: Callable[[int], None]
    ) -> None:
        self._sender = sender
        self._on_sent = on_sent
        self._transport: Any = sender.transport
        self._pacer = pacer
        private(sender, "_RTCRtpSender__rtp_task")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        await self._transport._send_rtp(data)
        if asyncio.current_task() is private(self._sender, "_RTCRtpSender__rtp_task"):
            self._on_sent(int.from_bytes(data[2:4], "big"))
            ends_frame = data[1] & 0x80
            wait_ns = self._pacer.sent(len(data), now_ns())
            if wait_ns and not ends_frame:
                self._pacer.waited_ns += wait_ns
                await asyncio.sleep(wait_ns / NS_PER_S)
