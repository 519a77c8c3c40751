"""Our sender alone with a clip of numbered pictures, and the clip for another sender.

Run as `python -m tests.bench.clip_sender PORT`. `GET /clip/KIND` is the clip's pictures, I420, one
after the other; `POST /offer/KIND` answers an offer with our sender's call; `GET /drawn` is when
each picture of that call was drawn, in Unix milliseconds, by its number.
"""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import VIDEO_TIME_BASE
from aiortc.sdp import SessionDescription
from numpy.typing import NDArray
from slipstream_protocol.clock import NS_PER_S, RTP_HZ, now_ns
from slipstream_protocol.frames import I420
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.process import SWITCH_S, new_loop
from slipstream_server.rtc.video_transceiver import VideoTransceiver
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.h264 import X264
from slipstream_server.send.keyframes import KeyFrameScheduler
from slipstream_server.send.output_track import to_video_frame

CEILING_BPS = 4_000_000
WIDTH_PX, HEIGHT_PX, FPS = 640, 480, 30
PICTURES = 24
_CELLS = 20
_TOP, _BOTTOM, _BLACK, _WHITE = 0.06, 0.16, 16, 235  # as `media.js` reads them


def clip(kind: str) -> list[I420]:
    """The pictures of a clip: "moving", a head before a wall with a camera's noise, or "still",
    the first of them over and over.

    Raises:
        ValueError: for another kind.
    """
    if kind not in ("moving", "still"):
        raise ValueError(f"the clip is {kind!r}, it must be moving or still")
    rng = np.random.default_rng(1)
    blocks = rng.integers(60, 180, (64, 64))
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    pictures = []
    for at in range(PICTURES):
        middle = WIDTH_PX / 2 + 40 * np.sin(2 * np.pi * at / PICTURES)
        aside = (x - middle) / (HEIGHT_PX / 3)
        is_head = aside * aside + (y / HEIGHT_PX - 0.6) ** 2 * 6 < 1
        left = np.where(is_head, np.rint(x - middle).astype(int) + 512, x)
        picture = np.full((HEIGHT_PX * 3 // 2, WIDTH_PX), 128, np.uint8)
        picture[:HEIGHT_PX] = blocks[(y >> 4) & 63, (left >> 4) & 63] + rng.integers(0, 4, y.shape)
        pictures.append(picture)
    return pictures[:1] if kind == "still" else pictures


def draw_number(luma: NDArray[np.uint8], number: int) -> None:
    """Write the low 16 bits of `number` into a luma plane `[H, W]`, as `media.js` does."""
    number &= 0xFFFF
    digits = sum(number >> shift & 0xF for shift in range(0, 16, 4))
    code = number << 4 | (digits * 7 + 5) & 0xF
    height, width = luma.shape
    rows = slice(round(height * _TOP), round(height * _BOTTOM))
    for cell in range(_CELLS):
        left = width / 2 + (cell - _CELLS / 2) * height / _CELLS
        is_white = code >> (_CELLS - 1 - cell) & 1
        luma[rows, round(left) : round(left + height / _CELLS)] = _WHITE if is_white else _BLACK


class ClipTrack(MediaStreamTrack):
    """A clip as the generated picture of one viewer: each frame when it is due, the newest first
    where the sender comes late, and as many left out as the link makes it.

    Args:
        encoding: of this viewer.
    """

    kind = "video"

    def __init__(self, kind: str, encoding: AdaptiveEncoder) -> None:
        super().__init__()
        self.drawn_unix_ms: dict[int, float] = {}
        self._pictures = clip(kind)
        self._encoding = encoding
        self._began_ns: int | None = None
        self._next = 0

    async def recv(self) -> Any:
        if self._began_ns is None:
            self._began_ns = now_ns()
        overdue = (now_ns() - self._began_ns) * FPS // NS_PER_S
        number = max(self._next, overdue)
        number += -number % self._encoding.every_frames
        self._next = number + 1
        due_ns = self._began_ns + number * NS_PER_S // FPS
        await asyncio.sleep(max(0, due_ns - now_ns()) / NS_PER_S)
        picture = self._pictures[number % len(self._pictures)].copy()
        draw_number(picture[:HEIGHT_PX], number)
        frame = to_video_frame(picture)
        frame.pts, frame.time_base = number * RTP_HZ // FPS, VIDEO_TIME_BASE
        self.drawn_unix_ms[number] = time.time() * 1000
        return await self._encoding.encode(frame)


@dataclass
class ClipServer:
    """Makes one call at a time; the newest one's times are told."""

    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    pc: RTCPeerConnection | None = None
    track: ClipTrack | None = None
    running: asyncio.Task[None] | None = None

    async def offer(self, request: web.Request) -> web.Response:
        await self.hang_up()
        offer = await request.text()
        self.pc = pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        encoding = AdaptiveEncoder(
            codec=X264,
            pool=self.pool,
            rate=RateControl(ceiling_bps=CEILING_BPS),
            key_frames=KeyFrameScheduler(),
        )
        self.track = ClipTrack(request.match_info["kind"], encoding)
        video = VideoTransceiver(pc, self.track, encoding)
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        video.negotiate(SessionDescription.parse(offer))
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        self.running = asyncio.create_task(video.run(), name="video")
        return web.Response(text=pc.localDescription.sdp)

    async def drawn(self, _request: web.Request) -> web.Response:
        return web.json_response(self.track.drawn_unix_ms if self.track is not None else {})

    async def hang_up(self, _app: web.Application | None = None) -> None:
        if self.running is not None:
            self.running.cancel()
        if self.pc is not None:
            await self.pc.close()


async def ready(_request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>sender</title>", content_type="text/html")


async def pictures(request: web.Request) -> web.Response:
    frames = clip(request.match_info["kind"])
    return web.Response(body=b"".join(frame.tobytes() for frame in frames))


def main(port: int) -> None:
    app = web.Application()
    server = ClipServer()
    app.router.add_get("/ready", ready)
    app.router.add_get("/clip/{kind}", pictures)
    app.router.add_post("/offer/{kind}", server.offer)
    app.router.add_get("/drawn", server.drawn)
    app.on_shutdown.append(server.hang_up)
    sys.setswitchinterval(SWITCH_S)
    web.run_app(app, host="127.0.0.1", port=port, print=None, loop=new_loop())


if __name__ == "__main__":
    main(int(sys.argv[1]))
