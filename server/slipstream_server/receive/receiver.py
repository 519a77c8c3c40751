"""One track on its way in: packets to the jitter buffer, frames to the decoder, feedback back."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns

from slipstream_server.receive.aiortc_receiver import AiortcReceiver
from slipstream_server.receive.frame_origin import FrameOrigin, FrameOrigins
from slipstream_server.receive.jitter_buffer import JitterBuffer, JitterOutcome, Packet
from slipstream_server.receive.transport_feedback import TransportFeedback
from slipstream_server.rtp.depacketize import payload_content

_REPORT_EVERY_NS = 50 * NS_PER_MS
_CYCLE = 1 << 32


class VideoReceiver:
    """Takes aiortc's packets; `run` keeps the time while none come.

    Args:
        receiver: of the track, not started.
        transport_cc: whether the sender wants to know when each packet came.
    """

    def __init__(self, receiver: RTCRtpReceiver, *, transport_cc: bool) -> None:
        self._seam = AiortcReceiver(receiver, self, transport_cc=transport_cc)
        self._buffer = JitterBuffer()
        self._origins = FrameOrigins()
        self._arrivals = TransportFeedback() if transport_cc else None
        self._report_ns: int | None = None
        self._counts: Counter[str] = Counter()
        self._ssrc: int | None = None
        self._nack: tuple[int, ...] = ()
        self._pli = False
        self._last_timestamp: int | None = None
        self._pts = 0
        self._wake_ns: int | None = None
        self._sooner = asyncio.Event()

    @property
    def track(self) -> MediaStreamTrack:
        """The decoded pictures."""
        return self._seam.track

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames dropped: `undecoded` where the decoder, `unread` where the loop was too late."""
        return {
            "undecoded": self._seam.decoder_queue.dropped,
            "unread": self._seam.track_queue.dropped,
        }

    def origin(self, pts: int) -> FrameOrigin | None:
        """Where the picture with this pts comes from; None if it is not one of the last."""
        return self._origins.of(pts)

    def counts(self) -> Mapping[str, int]:
        """What was asked for (`nack` packets, `pli`), and what was dropped by cause."""
        return self._counts | Counter(self._buffer.drops) | Counter(self.drops)

    async def run(self) -> None:
        """Ask again for what did not come, and report arrivals, until cancelled."""
        while True:
            self._sooner.clear()
            self._wake_ns = self._due_ns()
            wait_s = None
            if self._wake_ns is not None:
                wait_s = max(0.0, (self._wake_ns - now_ns()) / NS_PER_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()
            except TimeoutError:
                self._act(self._buffer.poll(now_ns()))
                await self.respond()

    # ---- as the packets come

    def on_arrival(self, transport_sequence: int | None, arrival_ns: int) -> None:
        """A packet of any kind came."""
        if self._arrivals is None or transport_sequence is None:
            return
        self._arrivals.add(transport_sequence, arrival_ns)
        if self._report_ns is None:
            self._report_ns = arrival_ns + _REPORT_EVERY_NS

    def on_sender_report(self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """The sender has told its time."""
        if ssrc == self._ssrc:
            self._origins.report(ntp_timestamp, rtp_timestamp)

    def take(self, packet: RtpPacket, codec: str, data: bytes) -> None:
        """A packet of the stream came."""
        if packet.ssrc != self._ssrc:  # another stream takes over: nothing of the old one is left
            self._ssrc = packet.ssrc
            self._buffer = JitterBuffer()
            self._origins = FrameOrigins()
        found = payload_content(codec, packet.payload)
        arrival_ns = now_ns()
        self._origins.packet(packet.timestamp, arrival_ns)
        outcome = self._buffer.add(
            Packet(
                sequence=packet.sequence_number,
                timestamp=packet.timestamp,
                payload_type=packet.payload_type,
                marker=bool(packet.marker),
                begins=found.begins,
                key=found.key,
                data=data,
            ),
            arrival_ns,
        )
        self._act(outcome)

    async def respond(self) -> None:
        """Send what is to be sent back."""
        nack, self._nack = self._nack, ()
        pli, self._pli = self._pli, False
        if self._ssrc is not None:
            if nack:
                self._counts["nack"] += len(nack)
                await self._seam.nack(self._ssrc, nack)
            if pli:
                self._counts["pli"] += 1
                await self._seam.pli(self._ssrc)
        if self._report_ns is not None and now_ns() >= self._report_ns:
            self._report_ns = None
            await self._report()
        due_ns = self._due_ns()
        if due_ns is not None and (self._wake_ns is None or due_ns < self._wake_ns):
            self._sooner.set()

    async def _report(self) -> None:
        fci = self._arrivals.report() if self._arrivals is not None else None
        if fci is not None:
            await self._seam.report(self._ssrc or 0, fci)

    def _act(self, outcome: JitterOutcome) -> None:
        for frame in outcome.frames:
            pts = self._map(frame.timestamp)
            self._origins.released(frame.timestamp, pts)
            if not self._seam.decode(frame, pts):
                self._buffer.need_key()
        self._nack += outcome.nack
        self._pli |= outcome.pli

    def _map(self, timestamp: int) -> int:
        """A timestamp of 32 bits on a line that begins with the first and never starts over."""
        if self._last_timestamp is not None:
            step = (timestamp - self._last_timestamp + _CYCLE // 2) % _CYCLE - _CYCLE // 2
            self._pts += step
        self._last_timestamp = timestamp
        return self._pts

    def _due_ns(self) -> int | None:
        dues = (self._buffer.due_ns(), self._report_ns)
        return min((due for due in dues if due is not None), default=None)
