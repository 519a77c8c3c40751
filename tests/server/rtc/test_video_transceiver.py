"""Our parts inside a real aiortc call: real media both ways over loopback, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtpPacket, is_rtcp, pack_remb_fci
from aiortc.sdp import SessionDescription
from av import VideoFrame
from slipstream_protocol.clock import now_ns
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.rtc.video_transceiver import VideoTransceiver
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.h264 import X264
from slipstream_server.send.keyframes import KeyFrameScheduler

from tests.server.calls import Camera, number_of

DEADLINE_S = 20.0
H264_PAYLOAD_TYPE = 99  # of aiortc's offers
SIZE = {"width_px": 320, "height_px": 240}


class EncodedCamera(MediaStreamTrack):
    """Our output without a model: a camera's pictures through our encoder."""

    kind = "video"

    def __init__(self, camera: Camera, encoding: AdaptiveEncoder) -> None:
        super().__init__()
        self._camera = camera
        self._encoding = encoding

    async def recv(self) -> Any:
        return await self._encoding.encode(await self._camera.recv())


class Reader:
    """The numbers of the pictures of a track, as they come."""

    def __init__(self) -> None:
        self.numbers: list[int | None] = []
        self._news = asyncio.Event()

    async def read(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, VideoFrame)
            self.numbers.append(number_of(frame))
            self._news.set()

    async def until(self, count: int) -> None:
        """Wait for as many pictures altogether."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.numbers) < count:
                self._news.clear()
                await self._news.wait()

    async def until_more(self, count: int) -> None:
        await self.until(len(self.numbers) + count)

    def is_ordered(self) -> bool:
        """Whether every picture could be read, and none came twice or late."""
        known = [number for number in self.numbers if number is not None]
        return known == self.numbers and known == sorted(set(known))


class Viewer:
    """The other end, plain aiortc but for the dials of its link.

    Args:
        loses: given each RTP packet it sends; those it says yes to never arrive.
    """

    def __init__(self, loses: Callable[[RtpPacket], bool]) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.received = Reader()
        self._loses = loses
        self._reading: asyncio.Task[None] | None = None
        self.pc.on("track", self._track_came)

    def spoil_link(self) -> None:
        """Put the dials into the connection, once it stands."""
        transport: Any = self.pc.getSenders()[0].transport
        send = transport._send_rtp

        async def lossy(data: bytes) -> None:
            if is_rtcp(data) or not self._loses(RtpPacket.parse(data)):
                await send(data)

        transport._send_rtp = lossy

    async def send_rtcp(self, packet: RtcpPsfbPacket) -> None:
        await self.pc.getSenders()[0].transport._send_rtp(bytes(packet))

    async def request_key_frame(self, ssrc: int) -> None:
        receiver: Any = self.pc.getReceivers()[0]
        await receiver._send_rtcp_pli(ssrc)

    async def request_packet(self, ssrc: int, sequence: int) -> None:
        receiver: Any = self.pc.getReceivers()[0]
        await receiver._send_rtcp_nack(ssrc, [sequence])

    async def estimate(self, bitrate_bps: int, ssrc: int) -> None:
        """Say what the link carries."""
        fci = pack_remb_fci(bitrate_bps, [ssrc])
        await self.send_rtcp(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci))

    def _track_came(self, track: MediaStreamTrack) -> None:
        self._reading = asyncio.create_task(self.received.read(track))

    async def close(self) -> None:
        await self.pc.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class VideoCall:
    viewer: Viewer
    video: VideoTransceiver
    encoding: AdaptiveEncoder
    answer: str
    received: Reader
    ssrc: int


@asynccontextmanager
async def video_call(
    *,
    codec: str | None = None,
    camera: bool = True,
    loses: Callable[[RtpPacket], bool] = lambda packet: False,
) -> AsyncIterator[VideoCall]:
    """A call between a viewer and our side, pictures both ways.

    Args:
        codec: the only one the viewer takes; all by default.
        camera: whether the viewer brings one.
    """
    viewer = Viewer(loses)
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    received = Reader()
    with ThreadPoolExecutor(1) as pool:
        rate = RateControl(ceiling_bps=2_000_000)
        encoding = AdaptiveEncoder(codec=X264, pool=pool, rate=rate, key_frames=KeyFrameScheduler())
        video = VideoTransceiver(pc, EncodedCamera(Camera(**SIZE), encoding), encoding)
        transceiver = viewer.pc.addTransceiver(
            Camera(**SIZE) if camera else "video", direction="sendrecv" if camera else "recvonly"
        )
        if codec is not None:
            transceiver.setCodecPreferences(
                [
                    one
                    for one in RTCRtpSender.getCapabilities("video").codecs
                    if one.mimeType in (f"video/{codec}", "video/rtx")
                ]
            )
        bound_gathering(viewer.pc, media_addressing=MediaAddressing(loopback=True))
        await viewer.pc.setLocalDescription()
        offer = viewer.pc.localDescription
        await pc.setRemoteDescription(offer)
        video.negotiate(SessionDescription.parse(offer.sdp))
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        answer = pc.localDescription
        tasks = [asyncio.create_task(video.run())]
        if video.receiver is not None:
            tasks.append(asyncio.create_task(received.read(video.receiver.track)))
        try:
            await viewer.pc.setRemoteDescription(
                RTCSessionDescription(sdp=answer.sdp, type="answer")
            )
            viewer.spoil_link()
            yield VideoCall(
                viewer=viewer,
                video=video,
                encoding=encoding,
                answer=answer.sdp,
                received=received,
                ssrc=video.sender._ssrc,
            )
        finally:
            await viewer.close()
            await pc.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("codec", [None, "VP8"])
async def test_pictures_both_ways(codec: str | None) -> None:
    """H.264 is chosen where both have it, VP8 where not; every picture readable, in order."""
    async with video_call(codec=codec) as call:
        await call.viewer.received.until(30)
        await call.received.until(30)
        rtpmaps = [line for line in call.answer.splitlines() if line.startswith("a=rtpmap")]
        assert (codec or "H264") in rtpmaps[0]
        assert "rtx" in rtpmaps[1]
        assert call.viewer.received.is_ordered()
        assert call.received.is_ordered()
        assert (call.encoding.counts["sent"] > 0) == (codec is None)


async def test_nothing_comes_from_a_viewer_without_a_camera() -> None:
    """it is sent to all the same."""
    async with video_call(camera=False) as call:
        await call.viewer.received.until(10)
        assert call.video.receiver is None


async def test_a_request_is_met_with_one_key_frame() -> None:
    """five requests in a row: one more than the first, and none without a request."""
    async with video_call() as call:
        await call.viewer.received.until(15)
        assert call.encoding.counts["key"] == 1
        for _ in range(5):
            await call.viewer.request_key_frame(call.ssrc)
        await call.viewer.received.until(45)
        assert call.encoding.counts["key"] == 2


async def test_a_request_for_a_forgotten_packet_brings_a_key_frame() -> None:
    """a packet that is kept no longer cannot be sent again: the viewer would wait in vain."""
    async with video_call() as call:
        await call.viewer.received.until(15)
        await call.viewer.request_packet(call.ssrc, 1 << 15)  # a number that is never used first
        async with asyncio.timeout(DEADLINE_S):
            while call.encoding.counts["key"] < 2:
                await call.viewer.received.until_more(1)


async def test_the_viewers_estimate_is_followed_without_a_key_frame() -> None:
    """down and up again in place, while as much is sent."""
    async with video_call() as call:
        await call.viewer.received.until(5)
        rates = []
        for bitrate_bps in (1_000_000, 10_000, 10_000_000):
            call.encoding.rate.on_packet_sent(10_000_000 // 8, now_ns())
            await call.viewer.estimate(bitrate_bps, call.ssrc)
            await call.viewer.received.until_more(5)
            rates.append(call.encoding.rate.bitrate_bps)
        assert rates == pytest.approx([850_000, 250_000, 2_000_000], rel=1e-4)
        assert call.encoding.counts["key"] == 1


async def test_lost_packets_are_had_again() -> None:
    """every fifth packet lost once: all pictures come, in order, without a key frame.

    They are sent again in real time: a call in which this machine was too busy for that, by the
    receiver's own counts, is made again, twice at most.
    """
    for _ in range(3):
        counts, numbers, is_ordered = await call_with_losses()
        if not any(counts.get(cause) for cause in ("late", "undecoded", "unread")):
            break
    assert counts["nack"] > 0
    assert counts.get("pli", 0) == 0
    assert is_ordered
    assert numbers[-1] - numbers[0] == len(numbers) - 1


async def call_with_losses() -> tuple[Mapping[str, int], list[int], bool]:
    """Sixty pictures of a call that loses every fifth packet once: the receiver's counts, the
    pictures' numbers, and whether they came in order."""
    seen: set[int] = set()

    def once(packet: RtpPacket) -> bool:
        again = packet.sequence_number in seen
        seen.add(packet.sequence_number)
        return not again and packet.sequence_number % 5 == 0 and len(seen) > 5

    async with video_call(loses=once) as call:
        await call.received.until(60)
        assert call.video.receiver is not None
        numbers = [number for number in call.received.numbers if number is not None]
        return call.video.receiver.counts(), numbers, call.received.is_ordered()


async def test_a_gap_that_is_never_filled_is_skipped() -> None:
    """packets lost however often they are sent: a key frame is requested, and pictures go on."""
    numbers: list[int] = []
    was_lost = asyncio.Event()

    def is_lost(packet: RtpPacket) -> bool:
        if packet.payload_type == H264_PAYLOAD_TYPE:
            number = packet.sequence_number
            numbers.append(number)
        else:  # sent again: the number it had comes first
            number = int.from_bytes(packet.payload[:2], "big")
        lost = number in numbers[30:33]
        if lost:
            was_lost.set()
        return lost

    async with video_call(loses=is_lost) as call:
        async with asyncio.timeout(DEADLINE_S):
            await was_lost.wait()
        await call.received.until_more(60)
        assert call.video.receiver is not None
        counts = call.video.receiver.counts()
        assert counts["pli"] >= 1
        assert counts["skipped"] >= 1
        assert call.received.is_ordered()
