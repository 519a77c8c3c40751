"""Callers that cost little: they send H.264 encoded beforehand and count the frames received.

Nothing is encoded or decoded during a call, so that the machine is left to the server under test.
"""

import asyncio
import queue
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import aiohttp
import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from slipstream_protocol.clock import NS_PER_S, RTP_HZ
from slipstream_protocol.frames import I420
from slipstream_server.rtp.aiortc_internals import replace_private

OFFER_PATH = "/api/v1/webrtc/offer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Encoded pictures, sent over and over.

    Args:
        frames: each one's H.264, the first a key frame.
        fps: the rate.
    """

    frames: tuple[bytes, ...]
    fps: int

    @classmethod
    def make(cls, pictures: list[I420], *, fps: int, bitrate_bps: int) -> "Recording":
        """Encode pictures; the first is the only key frame."""
        rows, width = pictures[0].shape
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height = width, rows * 2 // 3
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, fps)
        context.framerate = Fraction(fps, 1)
        context.bit_rate = bitrate_bps
        context.profile = "Baseline"
        context.options = {"preset": "superfast", "tune": "zerolatency", "g": str(len(pictures))}
        context.options |= {"level": "31", "sc_threshold": "0"}
        frames = []
        for picture in pictures:
            packets = context.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p"))
            frames.append(b"".join(map(bytes, packets)))
        return cls(frames=tuple(frames), fps=fps)


class Replay(MediaStreamTrack):
    """A camera that sends a recording, from its key frame on again whenever one is asked for."""

    kind = "video"

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording
        self._sent = 0
        self._next = 0
        self._began_s: float | None = None

    def restart(self) -> None:
        self._next = 0

    async def recv(self) -> "av.Packet[Any]":
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        await asyncio.sleep(self._began_s + self._sent / self._recording.fps - loop.time())
        frames = self._recording.frames
        packet: av.Packet[Any] = av.Packet(frames[self._next % len(frames)])
        packet.pts = self._sent * RTP_HZ // self._recording.fps
        packet.time_base = Fraction(1, RTP_HZ)
        self._sent += 1
        self._next += 1
        return packet


@dataclass(slots=True)
class Received:
    """The frames received in one call: when each came, and their bytes in all."""

    at_ns: list[int] = field(default_factory=list)
    size_bytes: int = 0

    def fps(self, seconds: float) -> float:
        """Frames a second over the last `seconds`."""
        since_ns = time.monotonic_ns() - int(seconds * NS_PER_S)
        return sum(at_ns >= since_ns for at_ns in self.at_ns) / seconds


class _FrameCounter(queue.Queue[Any]):
    """Replaces the decoder's queue: frames are counted and dropped, so that none is decoded."""

    def __init__(self, received: Received) -> None:
        super().__init__()
        self._received = received

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            super().put(item, block, timeout)
            return
        _, frame = item
        self._received.at_ns.append(time.monotonic_ns())
        self._received.size_bytes += len(frame.data)


class _FixedEstimate:
    """Replaces the bandwidth estimator: the same estimate, once a second."""

    def __init__(self, link_bps: int) -> None:
        self._link_bps = link_bps
        self._sent_ms: int | None = None

    def add(self, *, arrival_time_ms: int, ssrc: int, **_: int) -> tuple[int, list[int]] | None:
        if self._sent_ms is not None and arrival_time_ms - self._sent_ms < 1000:
            return None
        self._sent_ms = arrival_time_ms
        return self._link_bps, [ssrc]


@asynccontextmanager
async def calling(address: str, recording: Recording, *, link_bps: int) -> AsyncIterator[Received]:
    """A call while the block runs.

    Args:
        link_bps: the bandwidth that the caller reports for its link (REMB).
    """
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    received, replay = Received(), Replay(recording)
    try:
        sender = pc.addTrack(replay)
        transceiver = pc.getTransceivers()[0]
        capabilities = RTCRtpReceiver.getCapabilities("video")
        assert capabilities is not None, "aiortc knows video"
        transceiver.setCodecPreferences(
            [one for one in capabilities.codecs if one.mimeType in ("video/H264", "video/rtx")]
        )
        replace_private(sender, "_send_keyframe", replay.restart)
        await pc.setLocalDescription()
        offer = {"sdp": pc.localDescription.sdp, "type": "offer"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(address + OFFER_PATH, json=offer) as response,
        ):
            response.raise_for_status()
            answer = await response.json()
        receiver = transceiver.receiver
        replace_private(receiver, "_RTCRtpReceiver__decoder_queue", _FrameCounter(received))
        replace_private(
            receiver, "_RTCRtpReceiver__remote_bitrate_estimator", _FixedEstimate(link_bps)
        )
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        yield received
    finally:
        await pc.close()
