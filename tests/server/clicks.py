"""A clip of flashes and clicks at the same moments: a camera and a microphone with one clock."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.rtp import RtcpSrPacket, RtpPacket
from av import AudioFrame, Packet, VideoFrame
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.rtp.ntp import ntp_to_unix_ns

SOUND_HZ = 48_000
PACKET_TICKS = 960
PERIOD_S = 0.4  # from flash to flash
_CYCLE = 1 << 32


@dataclass
class Clock:
    """When the clip began, on the clock of the loop and since 1970; once for both tracks."""

    began_s: float | None = None
    began_unix_ns: int = 0

    async def until(self, at_s: float) -> None:
        """Wait for a moment of the clip."""
        loop = asyncio.get_running_loop()
        if self.began_s is None:
            self.began_s, self.began_unix_ns = loop.time(), time.time_ns()
        await asyncio.sleep(self.began_s + at_s - loop.time())


class FlashCamera(MediaStreamTrack):
    """Dark pictures, and a white one each period, at its first frame."""

    kind = "video"

    def __init__(self, clock: Clock, *, fps: int = 30) -> None:
        super().__init__()
        self.clock, self._fps, self._number = clock, fps, 0

    async def recv(self) -> VideoFrame:
        number, self._number = self._number, self._number + 1
        await self.clock.until(number / self._fps)
        every = round(PERIOD_S * self._fps)
        rows = np.full((480 * 3 // 2, 640), 128, np.uint8)
        rows[:480] = 235 if number % every == 0 else 40
        frame = VideoFrame.from_ndarray(rows, format="yuv420p")
        frame.pts, frame.time_base = number * 90_000 // self._fps, Fraction(1, 90_000)
        return frame


class ClickMicrophone(MediaStreamTrack):
    """Packets of Opus, 20 ms each: silence, and a click each period, in a packet's beginning."""

    kind = "audio"

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock, self._number = clock, 0
        self._payloads = clicking_opus()
        self.sent: dict[bytes, float] = {}  # payload, and when it was captured

    async def recv(self) -> "Packet[Any]":
        number, self._number = self._number, self._number + 1
        captured_s = number * PACKET_TICKS / SOUND_HZ
        await self._clock.until(captured_s)
        payload = next(self._payloads)
        self.sent[payload] = captured_s
        packet: Packet[Any] = Packet(payload)
        packet.pts, packet.time_base = number * PACKET_TICKS, Fraction(1, SOUND_HZ)
        return packet


def clicking_opus() -> Iterator[bytes]:
    """Its packets without end; no two are alike, as there is a little noise in each."""
    context: Any = av.CodecContext.create("libopus", "w")
    context.format, context.layout, context.sample_rate = "s16", "stereo", SOUND_HZ
    context.time_base = Fraction(1, SOUND_HZ)
    context.options = {"application": "lowdelay"}
    noise = np.random.default_rng(1)
    every = round(PERIOD_S * SOUND_HZ / PACKET_TICKS)
    number = 0
    while True:
        samples = noise.integers(-60, 60, PACKET_TICKS).astype(np.int16)
        if number % every == 0:
            samples[: PACKET_TICKS // 2] += (
                20_000 * np.sin(np.arange(PACKET_TICKS // 2) * 2 * np.pi * 2000 / SOUND_HZ)
            ).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.repeat(samples, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SOUND_HZ, number * PACKET_TICKS
        frame.time_base = Fraction(1, SOUND_HZ)
        for packet in context.encode(frame):
            yield bytes(packet)
        number += 1


def report_exactly(pc: RTCPeerConnection, clock: Clock) -> "Reported":
    """Let a caller's sender reports say when a packet was captured, as those of a browser do;
    aiortc's say when it was encoded and sent."""
    reported = Reported()
    for sender in pc.getSenders():
        if isinstance(sender.track, FlashCamera | ClickMicrophone):
            _correct(sender, clock, 90_000 if sender.kind == "video" else SOUND_HZ, reported.kinds)
    return reported


@dataclass
class Reported:
    """What has been reported of, each kind as often as it was."""

    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def is_known(self) -> bool:
        """Whether a server can know when both were captured."""
        return self.kinds["audio"] > 0 and self.kinds["video"] > 0


def _correct(sender: Any, clock: Clock, rtp_hz: int, kinds: Counter[str]) -> None:
    send, encode = sender._send_rtcp, sender._next_encoded_frame
    sent_ticks = 0  # of the clip; one that is being encoded is not sent yet

    async def encoded(codec: Any) -> Any:
        nonlocal sent_ticks
        frame = await encode(codec)
        if frame is not None:
            sent_ticks = frame.timestamp
        return frame

    async def corrected(packets: list[Any]) -> None:
        out = []
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                since_s = (ntp_to_unix_ns(info.ntp_timestamp) - clock.began_unix_ns) / NS_PER_S
                ticks = round(since_s * rtp_hz) - sent_ticks
                rtp_timestamp = (info.rtp_timestamp + ticks) % _CYCLE
                packet = replace(packet, sender_info=replace(info, rtp_timestamp=rtp_timestamp))
                kinds[sender.kind] += 1
            out.append(packet)
        await send(out)

    sender._send_rtcp, sender._next_encoded_frame = corrected, encoded


@dataclass
class Heard:
    """What a receiver's end has of one kind: packets and sender reports, as they came.

    Args:
        payloads: each with its RTP timestamp.
        reports: pairs of ns since 1970 and RTP timestamp.
        sources: canonical names are of the connection; packets by SSRC.
    """

    payloads: list[tuple[bytes, int]] = field(default_factory=list)
    reports: list[tuple[int, int]] = field(default_factory=list)
    sources: Counter[int] = field(default_factory=Counter)

    def unix_ns(self, timestamp: int, rtp_hz: int) -> int:
        """When that is due, by the last report."""
        unix_ns, reported = self.reports[-1]
        ticks = (timestamp - reported + _CYCLE // 2) % _CYCLE - _CYCLE // 2
        return unix_ns + ticks * NS_PER_S // rtp_hz


def overhear(pc: RTCPeerConnection) -> dict[str, Heard]:
    """All that this end of a call is sent from now on, by kind."""
    heard = {"audio": Heard(), "video": Heard()}
    for transceiver in pc.getTransceivers():
        _overhear(transceiver.receiver, heard[transceiver.kind])
    return heard


def _overhear(receiver: Any, heard: Heard) -> None:
    handle_rtp, handle_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

    async def on_rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
        heard.payloads.append((packet.payload, packet.timestamp))
        heard.sources[packet.ssrc] += 1
        await handle_rtp(packet, arrival_time_ms=arrival_time_ms)

    async def on_rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            heard.reports.append((ntp_to_unix_ns(info.ntp_timestamp), info.rtp_timestamp))
        await handle_rtcp(packet)

    receiver._handle_rtp_packet, receiver._handle_rtcp_packet = on_rtp, on_rtcp
