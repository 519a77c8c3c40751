"""A benchmark's caller: it sends numbered pictures and reads the numbers that come back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import aiohttp
import av
import msgspec
import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from slipstream_protocol.frames import I420

from tests.barcode import draw, read

RTP_HZ = 90_000


class NumberedCamera(VideoStreamTrack):
    """A camera of exact rate whose every picture carries its number.

    Args:
        pictures: I420 frames, shown over and over.
        fps: the rate.
    """

    def __init__(self, pictures: list[I420], *, fps: int) -> None:
        super().__init__()
        self._pictures = pictures
        self._fps = fps
        self._number = 0
        self._started_ns: int | None = None
        self.captured_ns: dict[int, int] = {}

    async def recv(self) -> av.VideoFrame:
        if self._started_ns is None:
            self._started_ns = time.monotonic_ns()
        due_ns = self._started_ns + self._number * 1_000_000_000 // self._fps
        await asyncio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        picture = self._pictures[self._number % len(self._pictures)].copy()
        draw(picture[: picture.shape[0] * 2 // 3], self._number)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = self._number * RTP_HZ // self._fps
        frame.time_base = Fraction(1, RTP_HZ)
        self.captured_ns[self._number] = time.monotonic_ns()
        self._number += 1
        return frame


@dataclass(slots=True)
class Call:
    """The record of one call; times are of the monotonic clock."""

    offered_ns: int = 0
    answered_ns: int = 0
    first_frame_ns: int | None = None
    received_ns: list[int] = field(default_factory=list)
    numbers: list[int | None] = field(default_factory=list)
    ages_ms: list[tuple[float, float]] = field(default_factory=list)  # (seconds into the call, age)
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)


async def place_call(
    url: str,
    pictures: list[I420],
    *,
    fps: int,
    seconds: float,
    script: Callable[[Callable[[dict[str, Any]], None]], Awaitable[None]] | None = None,
    warm_up: Callable[[], Awaitable[None]] | None = None,
) -> Call:
    """Call the server at `url`, hang up `seconds` after the first frame, return the record.

    Args:
        script: may send parameters while the call is up.
        warm_up: awaited after the first frame, before the measured `seconds` begin.
    """
    peer = RTCPeerConnection()
    camera = NumberedCamera(pictures, fps=fps)
    peer.addTrack(camera)
    channel = peer.createDataChannel("parameters")
    call = Call()
    first = asyncio.Event()

    @channel.on("message")
    def on_message(text: str) -> None:
        call.events.append(
            ((time.monotonic_ns() - call.offered_ns) / 1e9, msgspec.json.decode(text))
        )

    def send(update: dict[str, Any]) -> None:
        channel.send(msgspec.json.encode(update).decode())

    async def receive(track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
                _record_frame(call, camera, frame)
                first.set()
        except MediaStreamError:
            return

    receivers: list[asyncio.Task[None]] = []

    @peer.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        receivers.append(asyncio.create_task(receive(track), name="receive"))

    await peer.setLocalDescription(await peer.createOffer())
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(seconds + 60):
            session_id = await _offer(http, url, peer, call)
            await first.wait()
            if warm_up is not None:
                await warm_up()
            async with asyncio.TaskGroup() as tasks:
                if script is not None:
                    tasks.create_task(script(send), name="script")  # type: ignore[arg-type]
                await asyncio.sleep(seconds)
            if session_id is not None:
                await http.delete(f"{url}/{session_id}")
    finally:
        await peer.close()
        await asyncio.gather(*receivers)
    return call


async def _offer(
    http: aiohttp.ClientSession, url: str, peer: RTCPeerConnection, call: Call
) -> str | None:
    call.offered_ns = time.monotonic_ns()
    local = peer.localDescription
    async with http.post(url, json={"sdp": local.sdp, "type": local.type}) as response:
        answer = await response.json()
        response.raise_for_status()
    call.answered_ns = time.monotonic_ns()
    await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    session_id: str | None = answer.get("sessionId")
    return session_id


def _record_frame(call: Call, camera: NumberedCamera, frame: av.VideoFrame) -> None:
    now_ns = time.monotonic_ns()
    if call.first_frame_ns is None:
        call.first_frame_ns = now_ns
    luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(
        frame.height, frame.planes[0].line_size
    )
    number = read(luma[:, : frame.width])
    call.received_ns.append(now_ns)
    call.numbers.append(number)
    if number is not None and (captured_ns := camera.captured_ns.get(number)) is not None:
        into_s = (now_ns - call.offered_ns) / 1e9
        call.ages_ms.append((into_s, (now_ns - captured_ns) / 1e6))
