"""Our media edge alone: aiortc with our parts in it, sending every frame straight back.

Run as `python -m tests.bench.media_edge PORT [HOST]`; compare with `stock_aiortc.py`.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription
from av import VideoFrame
from slipstream_server.process import SWITCH_S, new_loop
from slipstream_server.rtc.video_transceiver import VideoTransceiver
from slipstream_server.rtp.sdp import with_start_bitrate
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.h264 import X264
from slipstream_server.send.keyframes import KeyFrameScheduler

CEILING_BPS = 4_000_000


class EchoTrack(MediaStreamTrack):
    """The track received, encoded by us."""

    kind = "video"

    def __init__(self, encoding: AdaptiveEncoder) -> None:
        super().__init__()
        self.source: MediaStreamTrack | None = None
        self._encoding = encoding

    async def recv(self) -> Any:
        assert self.source is not None, "the offer brings a camera"
        frame = await self.source.recv()
        assert isinstance(frame, VideoFrame), "the camera gives pictures"
        return await self._encoding.encode(frame)


class Echo:
    """Answers offers; keeps the calls for as long as the server runs."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._calls: dict[RTCPeerConnection, asyncio.Task[None]] = {}

    async def offer(self, request: web.Request) -> web.Response:
        body = await request.json()
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        encoding = AdaptiveEncoder(
            codec=X264,
            pool=self._pool,
            rate=RateControl(ceiling_bps=CEILING_BPS),
            key_frames=KeyFrameScheduler(),
        )
        track = EchoTrack(encoding)
        video = VideoTransceiver(pc, track, encoding)
        await pc.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
        video.negotiate(SessionDescription.parse(body["sdp"]))
        assert video.receiver is not None
        track.source = video.receiver.track
        await pc.setLocalDescription()
        self._calls[pc] = asyncio.create_task(video.run(), name="video")
        answer = with_start_bitrate(pc.localDescription.sdp)
        return web.json_response({"sdp": answer, "type": "answer"})

    async def close(self, app: web.Application) -> None:
        for pc, running in self._calls.items():
            running.cancel()
            await pc.close()


async def ready(_request: web.Request) -> web.Response:
    return web.json_response({"ready": True})


def main(port: int, host: str = "127.0.0.1") -> None:
    app = web.Application()
    echo = Echo()
    app.router.add_post("/api/v1/webrtc/offer", echo.offer)
    app.router.add_get("/ready", ready)
    app.on_shutdown.append(echo.close)
    sys.setswitchinterval(SWITCH_S)
    web.run_app(app, host=host, port=port, print=None, loop=new_loop())


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
