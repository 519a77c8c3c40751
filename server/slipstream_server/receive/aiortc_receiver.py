"""One aiortc receiver with our parts in the places of its own; `rtp/aiortc_internals.py` has the
rules.

Private names, on the receiver before it is started:

* `__jitter_buffer`: replaced by an object that passes each packet, its payload unpacked, to our
  `VideoReceiver` and never returns a frame: our jitter buffer needs the time of arrival, and may
  release several frames at once.
* `__nack_generator`: set to None, as our jitter buffer requests what is lost, more than once.
* `__remote_bitrate_estimator`: set to None where transport-cc is used; a browser obeys both, and
  the estimate is the slower one.
* `__decoder_queue`, `_track._queue`: replaced by queues with a bound. Whoever takes a frame from
  the first, which is aiortc's decoder thread, decodes it with our decoder, and gets the end only.
* `__decoder_error`: set where a frame cannot be decoded, for aiortc to request a key frame.
* `_handle_rtp_packet`: wrapped, to read the transport-wide number and to send our feedback after.
* `_handle_rtcp_packet`: wrapped, to read sender reports.
* `__rtx_ssrc`: added to, since the streams that repeat simulcast's packets stand in no SDP.
* `__codecs`: read, for the codec of a payload type. `__rtcp_ssrc`: read, as the sender of reports.
* `_send_rtcp_nack`, `_send_rtcp_pli`, `transport._send_rtp`: called, to send our feedback.

On a packet: `_data`, the payload without its codec's header, is read.
"""

import asyncio
import logging
import queue
import struct
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import av
from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import (
    RTCP_RTPFB,
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpSrPacket,
    RtpPacket,
    pack_rtcp_packet,
)
from slipstream_protocol.clock import now_ns

from slipstream_server.receive.decoder import BoundedDecoder, DecoderTask
from slipstream_server.receive.loss_feedback import ascending_runs
from slipstream_server.rtp.aiortc_internals import (
    HandleRtcp,
    get_private,
    replace_private,
)

logger = logging.getLogger(__name__)

DECODER_FRAMES = 30  # that may wait for the decoder
TRACK_FRAMES = 4  # that may wait for the reader of the track
_TRANSPORT_CC_FORMAT = 15  # of RTPFB
_LAYERS_MAX = 16


class PacketHandler(Protocol):
    """Handles the packets of a receiver."""

    def on_arrival(self, transport_sequence: int, arrival_ns: int) -> None: ...

    def on_sender_report(self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int) -> None: ...

    def on_goodbye(self, sources: Sequence[int]) -> bool: ...

    def on_packet(self, packet: RtpPacket, codec: str, data: bytes) -> None: ...

    async def send_feedback(self) -> None: ...


class AiortcReceiver:
    """One aiortc receiver whose packets go to `handler`.

    Args:
        receiver: with a track, not started.
        handler: called with each packet.
        transport_cc: whether that was negotiated.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.
    """

    def __init__(
        self, receiver: RTCRtpReceiver, handler: PacketHandler, *, transport_cc: bool
    ) -> None:
        self._receiver = receiver
        self._handler = handler
        self._codecs: dict[int, Any] = get_private(receiver, "_RTCRtpReceiver__codecs")
        self._repairs: dict[int, int] = get_private(receiver, "_RTCRtpReceiver__rtx_ssrc")
        self._ssrc_of_layer: dict[str, int] = {}
        self.decoder_queue = DecoderQueue(work=self._decode_in_thread)
        self.track_queue = TrackQueue()
        self._decoder = BoundedDecoder()
        self._decoder_error: threading.Event = get_private(
            receiver, "_RTCRtpReceiver__decoder_error"
        )
        self._loop = asyncio.get_running_loop()
        for name in ("_send_rtcp_nack", "_send_rtcp_pli", "_RTCRtpReceiver__rtcp_ssrc"):
            get_private(receiver, name)
        replace_private(receiver, "_RTCRtpReceiver__jitter_buffer", self)
        replace_private(receiver, "_RTCRtpReceiver__nack_generator", None)
        if transport_cc:
            replace_private(receiver, "_RTCRtpReceiver__remote_bitrate_estimator", None)
        replace_private(receiver, "_RTCRtpReceiver__decoder_queue", self.decoder_queue)
        replace_private(receiver.track, "_queue", self.track_queue)
        self._handle_rtp: Callable[..., Awaitable[None]] = get_private(
            receiver, "_handle_rtp_packet"
        )
        replace_private(receiver, "_handle_rtp_packet", self._handle_rtp_packet)
        self._handle_rtcp: HandleRtcp = get_private(receiver, "_handle_rtcp_packet")
        replace_private(receiver, "_handle_rtcp_packet", self._handle_rtcp_packet)

    @property
    def track(self) -> MediaStreamTrack:
        """The decoded pictures."""
        return self._receiver.track

    def codec_name(self, payload_type: int) -> str:
        """The codec of a payload type, as aiortc names it ("H264", "VP8")."""
        name: str = self._codecs[payload_type].name
        return name

    def decode(self, payload_type: int, data: bytes, pts: int) -> bool:
        """Pass a frame to the decoder; False if its queue was full and had to be dropped."""
        return self.decoder_queue.offer(
            DecoderTask(codec=self.codec_name(payload_type), data=data, pts=pts)
        )

    def _decode_in_thread(self, encoded: DecoderTask) -> None:
        """Decode a frame. One that cannot be is left out, the decoder keeps its state: the next key
        frame mends the picture."""
        try:
            pictures = self._decoder.decode(encoded)
        except av.FFmpegError as error:
            logger.info("a %s frame cannot be decoded: %s", encoded.codec, error)
            self._decoder_error.set()
            return
        for picture in pictures:
            self._loop.call_soon_threadsafe(self.track_queue.offer, picture)

    async def send_nack(self, ssrc: int, sequences: tuple[int, ...]) -> None:
        """Request packets again.

        aiortc packs numbers that start over into no packet, and ends the call on them.
        """
        for run in ascending_runs(sequences):
            await get_private(self._receiver, "_send_rtcp_nack")(ssrc, list(run))

    async def send_pli(self, ssrc: int) -> None:
        """Request a key frame."""
        await get_private(self._receiver, "_send_rtcp_pli")(ssrc)

    async def send_transport_feedback(self, ssrc: int, fci: bytes) -> None:
        """Send a transport-cc report; `fci` as `TransportFeedback.report` packs it."""
        own: int | None = get_private(self._receiver, "_RTCRtpReceiver__rtcp_ssrc")
        payload = struct.pack("!LL", own or 0, ssrc) + fci
        packet = pack_rtcp_packet(RTCP_RTPFB, _TRANSPORT_CC_FORMAT, payload)
        try:
            await get_private(self._receiver.transport, "_send_rtp")(packet)
        except ConnectionError:
            return  # the call is ending

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Called by aiortc in place of its jitter buffer's: no PLI to send, no frame to decode."""
        codec = self._codecs[packet.payload_type]
        self._handler.on_packet(packet, codec.name, get_private(packet, "_data"))
        return False, None

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        extensions = packet.extensions
        if extensions.rtp_stream_id is not None or extensions.repaired_rtp_stream_id is not None:
            self._learn_layer(packet)
        if extensions.transport_sequence_number is not None:
            self._handler.on_arrival(extensions.transport_sequence_number, now_ns())
        await self._handle_rtp(packet, arrival_time_ms=arrival_time_ms)
        await self._handler.send_feedback()

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            self._handler.on_sender_report(packet.ssrc, info.ntp_timestamp, info.rtp_timestamp)
        elif isinstance(packet, RtcpByePacket) and self._handler.on_goodbye(packet.sources):
            return  # aiortc would end the track
        await self._handle_rtcp(packet)

    def _learn_layer(self, packet: RtpPacket) -> None:
        """Note which stream a layer of simulcast is, and which one repeats its lost packets."""
        extensions = packet.extensions
        if extensions.rtp_stream_id is not None and len(self._ssrc_of_layer) < _LAYERS_MAX:
            self._ssrc_of_layer[extensions.rtp_stream_id] = packet.ssrc
        repaired = self._ssrc_of_layer.get(extensions.repaired_rtp_stream_id or "")
        if repaired is not None and len(self._repairs) < _LAYERS_MAX:
            self._repairs[packet.ssrc] = repaired


class DecoderQueue(queue.Queue[Any]):
    """Encoded frames for the decoder's thread, in the place of aiortc's `__decoder_queue`.

    A frame cannot be dropped alone, since the later ones build on it: a full queue is dropped as a
    whole, and `offer` returns False. None, the end, overtakes all frames, so that the thread ends
    at once.

    Args:
        max_frames: that may wait.
        work: called with each frame by the thread that gets it, which then gets the end only.
    """

    def __init__(
        self, max_frames: int = DECODER_FRAMES, *, work: Callable[[Any], None] | None = None
    ) -> None:
        super().__init__()
        self._work = work
        self.dropped = 0
        self._max_frames = max_frames

    def offer(self, task: Any) -> bool:
        """Add a frame; False if the queue was full, and all of it and the frame were dropped."""
        if self.qsize() >= self._max_frames:
            self._drop_all()
            self.dropped += 1
            return False
        self.put(task)
        return True

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            self._drop_all()
        super().put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while True:
            item = super().get(block, timeout)
            if item is None or self._work is None:
                return item
            self._work(item)

    def _drop_all(self) -> None:
        with self.mutex:
            self.dropped += len(self.queue)
            self.queue.clear()


class TrackQueue(asyncio.Queue[Any]):
    """Decoded frames for `track.recv()`; where too many wait, the oldest is dropped.

    None, the end of the track, is never dropped: nothing follows it. After `fail` every reader
    gets the error, whatever still comes.

    Args:
        max_frames: that may wait.
    """

    def __init__(self, max_frames: int = TRACK_FRAMES) -> None:
        super().__init__()
        self.dropped = 0
        self._max_frames = max_frames
        self._error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """End the track with an error, which `get` raises from now on."""
        self._error = error
        self.put_nowait(None)  # wakes a reader

    async def get(self) -> Any:
        item = None if self._error is not None else await super().get()
        if self._error is not None:
            raise self._error
        return item

    async def put(self, item: Any) -> None:
        self.offer(item)

    def offer(self, item: Any) -> None:
        """As `put`, which never waits."""
        while self.qsize() >= self._max_frames:
            self.get_nowait()
            self.dropped += 1
        self.put_nowait(item)
