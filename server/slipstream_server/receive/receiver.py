"""One track on its way in: packets to the jitter buffer, frames to the decoder, feedback back."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns

from slipstream_server.receive.aiortc_receiver import AiortcReceiver
from slipstream_server.receive.capture_time import FrameOrigin, FrameOrigins
from slipstream_server.receive.frame_search import Packet
from slipstream_server.receive.jitter_buffer import JitterBuffer, JitterOutcome
from slipstream_server.receive.transport_feedback import TransportFeedback
from slipstream_server.rtp.depacketize import payload_content

_TRANSPORT_FEEDBACK_EVERY_NS = 50 * NS_PER_MS
_CYCLE = 1 << 32


class VideoReceiver:
    """Handles the packets of one aiortc receiver; `run` keeps the timers while none come.

    Args:
        receiver: of the track, not started.
        transport_cc: whether the sender has negotiated transport-wide feedback.
    """

    def __init__(self, receiver: RTCRtpReceiver, *, transport_cc: bool) -> None:
        self._aiortc = AiortcReceiver(receiver, self, transport_cc=transport_cc)
        self._buffer = JitterBuffer()
        self._origins = FrameOrigins()
        self._feedback = TransportFeedback() if transport_cc else None
        self._feedback_due_ns: int | None = None
        self._counts: Counter[str] = Counter()
        self._ssrc: int | None = None
        self._pending_nack: tuple[int, ...] = ()
        self._pending_pli = False
        self._last_timestamp: int | None = None
        self._pts = 0
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
        return self._origins.origin_of(pts)

    def counts(self) -> Mapping[str, int]:
        """What was requested (`nack` packets, `pli`), and what was dropped by cause."""
        return self._counts | Counter(self._buffer.drops) | Counter(self.drops)

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
                self._apply(self._buffer.poll(now_ns()))
                await self.send_feedback()

    # ---- as the packets come

    def on_arrival(self, transport_sequence: int | None, arrival_ns: int) -> None:
        """A packet of any kind has come."""
        if self._feedback is None or transport_sequence is None:
            return
        self._feedback.add(transport_sequence, arrival_ns)
        if self._feedback_due_ns is None:
            self._feedback_due_ns = arrival_ns + _TRANSPORT_FEEDBACK_EVERY_NS

    def on_sender_report(self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """A sender report has come."""
        if ssrc == self._ssrc:
            self._origins.on_sender_report(ntp_timestamp, rtp_timestamp)

    def on_packet(self, packet: RtpPacket, codec: str, data: bytes) -> None:
        """A packet of the stream has come."""
        if packet.ssrc != self._ssrc:  # another stream takes over: nothing of the old one is left
            self._ssrc = packet.ssrc
            self._buffer = JitterBuffer()
            self._origins = FrameOrigins()
        content = payload_content(codec, packet.payload)
        arrival_ns = now_ns()
        self._origins.on_packet(packet.timestamp, arrival_ns)
        outcome = self._buffer.add(
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
        self._apply(outcome)

    async def send_feedback(self) -> None:
        """Send the requests and the report that are due."""
        nack, self._pending_nack = self._pending_nack, ()
        pli, self._pending_pli = self._pending_pli, False
        if self._ssrc is not None:
            if nack:
                self._counts["nack"] += len(nack)
                await self._aiortc.send_nack(self._ssrc, nack)
            if pli:
                self._counts["pli"] += 1
                await self._aiortc.send_pli(self._ssrc)
        if self._feedback_due_ns is not None and now_ns() >= self._feedback_due_ns:
            self._feedback_due_ns = None
            await self._send_transport_feedback()
        due_ns = self._due_ns()
        if due_ns is not None and (self._wake_ns is None or due_ns < self._wake_ns):
            self._due_sooner.set()

    async def _send_transport_feedback(self) -> None:
        fci = self._feedback.report() if self._feedback is not None else None
        if fci is not None:
            await self._aiortc.send_transport_feedback(self._ssrc or 0, fci)

    def _apply(self, outcome: JitterOutcome) -> None:
        """Decode the frames; keep the requests for `send_feedback`."""
        for frame in outcome.frames:
            pts = self._unwrap(frame.timestamp)
            self._origins.on_release(frame.timestamp, pts)
            if not self._aiortc.decode(frame, pts):
                self._buffer.require_key_frame()
        self._pending_nack += outcome.nack
        self._pending_pli |= outcome.pli

    def _unwrap(self, timestamp: int) -> int:
        """The pts of a frame: its timestamp of 32 bits, counted from the first, without wraps."""
        if self._last_timestamp is not None:
            step = (timestamp - self._last_timestamp + _CYCLE // 2) % _CYCLE - _CYCLE // 2
            self._pts += step
        self._last_timestamp = timestamp
        return self._pts

    def _due_ns(self) -> int | None:
        dues = (self._buffer.due_ns(), self._feedback_due_ns)
        return min((due for due in dues if due is not None), default=None)
