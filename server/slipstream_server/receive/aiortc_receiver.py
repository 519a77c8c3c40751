"""One of aiortc's receivers, its packets and frames in our hands; the rules are
`rtp/aiortc_internals.py`'s.

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
"""

import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RTCP_RTPFB, AnyRtcpPacket, RtcpSrPacket, RtpPacket, pack_rtcp_packet
from slipstream_protocol.clock import now_ns

from slipstream_server.receive.bounded_queues import DecoderQueue, TrackQueue
from slipstream_server.receive.jitter_buffer import EncodedFrame
from slipstream_server.rtp.aiortc_internals import Handle, private, put

_TRANSPORT_CC_FORMAT = 15  # of RTPFB


class PacketTaker(Protocol):
    """Who gets the packets."""

    def on_arrival(self, transport_sequence: int | None, arrival_ns: int) -> None: ...

    def on_sender_report(self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int) -> None: ...

    def take(self, packet: RtpPacket, codec: str, data: bytes) -> None: ...

    async def respond(self) -> None: ...


class AiortcReceiver:
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
        put(receiver, "_RTCRtpReceiver__jitter_buffer", self)
        put(receiver, "_RTCRtpReceiver__nack_generator", None)
        if transport_cc:
            put(receiver, "_RTCRtpReceiver__remote_bitrate_estimator", None)
        put(receiver, "_RTCRtpReceiver__decoder_queue", self.decoder_queue)
        put(receiver.track, "_queue", self.track_queue)
        self._handle: Callable[..., Awaitable[None]] = private(receiver, "_handle_rtp_packet")
        put(receiver, "_handle_rtp_packet", self._handle_and_respond)
        self._handle_rtcp: Handle = private(receiver, "_handle_rtcp_packet")
        put(receiver, "_handle_rtcp_packet", self._hear)

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
