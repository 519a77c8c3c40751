"""An aiortc client for tests: it sends numbered pictures and has a data channel."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from av import VideoFrame
from numpy.typing import NDArray
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.probe.marker import draw_marker, read_marker

OFFER_PATH = "/api/v1/webrtc/offer"
DEADLINE_S = 20.0


def numbered(number: int, *, width_px: int = 640, height_px: int = 480) -> VideoFrame:
    """A grey picture with its number in it; in the middle square of one that is upright."""
    rows = np.full((height_px * 3 // 2, width_px), 128, np.uint8)
    draw_marker(_middle(rows[:height_px]), number)
    return VideoFrame.from_ndarray(rows, format="yuv420p")


def number_of(frame: VideoFrame) -> int | None:
    """The number in a frame made by `numbered`, at any size."""
    luma: NDArray[Any] = frame.to_ndarray(format="gray")
    return read_marker(_middle(luma))


def _middle(luma: NDArray[Any]) -> NDArray[Any]:
    height, width = luma.shape
    top = max(0, (height - width) // 2)
    return luma[top : height - top]


class Camera(MediaStreamTrack):
    """A track of numbered pictures at a steady rate."""

    kind = "video"

    def __init__(
        self, *, first: int = 0, fps: int = 30, width_px: int = 640, height_px: int = 480
    ) -> None:
        super().__init__()
        self._first = first
        self._fps = fps
        self._width_px, self._height_px = width_px, height_px
        self._number = 0
        self._began_s: float | None = None

    async def recv(self) -> VideoFrame:
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        await asyncio.sleep(self._began_s + self._number / self._fps - loop.time())
        frame = numbered(
            self._first + self._number, width_px=self._width_px, height_px=self._height_px
        )
        frame.pts = self._number * 90_000 // self._fps
        frame.time_base = Fraction(1, 90_000)
        self._number += 1
        return frame


class Call:
    """A client's end of one call: what it has received, and ways to wait for more."""

    def __init__(self, pc: RTCPeerConnection, channel: RTCDataChannel | None) -> None:
        self.pc = pc
        self.channel = channel
        self.others: dict[str, RTCDataChannel] = {}
        self.id = ""
        self.address = ""  # the same with the proof that it is the caller's own
        self.view_token: str | None = None
        self.stream = ""
        self.resume: str | None = None
        self.status = 0
        self.error = ""
        self.answer_sdp = ""
        self.retry_after_s: str | None = None
        self.frames: list[VideoFrame] = []
        self.events: list[dict[str, Any]] = []
        self._received = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        pc.on("track", self._on_track)
        if channel is not None:
            channel.on("message", self._on_message)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._reader = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, VideoFrame)
            self.frames.append(frame)
            self._received.set()

    def _on_message(self, message: str) -> None:
        self.events.append(json.loads(message))
        self._received.set()

    async def until(self, holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Wait until something received makes `holds` true."""
        async with asyncio.timeout(deadline_s):
            while not holds():
                self._received.clear()
                await self._received.wait()

    async def until_frames(self, count: int) -> None:
        await self.until(lambda: len(self.frames) >= count)

    async def until_more_frames(self, count: int) -> None:
        """Wait for so many more than have been received."""
        await self.until_frames(len(self.frames) + count)

    async def until_event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of this kind with these fields."""

        def found() -> dict[str, Any] | None:
            for event in self.events:
                if event["type"] == kind and fields.items() <= event.items():
                    return event
            return None

        await self.until(lambda: found() is not None)
        event = found()
        assert event is not None
        return event

    def send(self, message: object) -> None:
        assert self.channel is not None
        self.channel.send(message if isinstance(message, str) else json.dumps(message))

    def fall_silent(self) -> None:
        """Send nothing any more, without ending the call."""

        def lose(data: bytes, address: Any = None) -> None:
            """Send nothing."""

        for transceiver in self.pc.getTransceivers():
            for protocol in transceiver.receiver.transport.transport._connection._protocols:
                setattr(protocol.transport, "sendto", lose)  # noqa: B010  # not ours to type

    async def close(self) -> None:
        await self.pc.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def dial(
    client: TestClient[Any, Any] | ClientSession,
    *,
    camera: MediaStreamTrack | None = None,
    microphone: MediaStreamTrack | None = None,
    watch: bool = False,
    sound: bool = False,
    channel: bool = True,
    labels: Sequence[str] = (),
    edit: Callable[[str], str] = lambda sdp: sdp,
    edit_answer: Callable[[str], str] = lambda sdp: sdp,
    codec: str | None = None,
    **body: Any,
) -> AsyncIterator[Call]:
    """A call to the server under test, hung up at the end of the block.

    Args:
        microphone: its sound; `sound` offers some without one.
        labels: of further data channels, unordered and unreliable.
        edit: changes the offer before that is sent.
        edit_answer: changes what this side makes of the answer.
        codec: the only one that is offered; all of aiortc's by default.
    """
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    call = Call(pc, pc.createDataChannel("parameters") if channel else None)
    for label in labels:
        call.others[label] = pc.createDataChannel(label, ordered=False, maxRetransmits=0)
    try:
        if camera is not None:
            pc.addTrack(camera)
        if microphone is not None:
            pc.addTrack(microphone)
        if sound:
            pc.addTransceiver("audio")
        if watch:
            pc.addTransceiver("video", direction="recvonly")
        if codec is not None:
            offered = RTCRtpSender.getCapabilities("video").codecs
            pc.getTransceivers()[0].setCodecPreferences(
                [one for one in offered if one.mimeType in (f"video/{codec}", "video/rtx")]
            )
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        offer = {"sdp": edit(pc.localDescription.sdp), "type": "offer"} | body
        async with client.post(OFFER_PATH, json=offer) as response:
            answer = await response.json()
            call.status = response.status
            call.retry_after_s = response.headers.get("Retry-After")
        if call.status == 200:
            call.address = answer["sessionId"]
            call.id = call.address.partition(".")[0]
            call.view_token = answer["viewToken"]
            call.stream, call.resume = answer["streamId"], answer["resumeToken"]
            call.answer_sdp = answer["sdp"]
            answered = edit_answer(answer["sdp"])
            await pc.setRemoteDescription(RTCSessionDescription(answered, answer["type"]))
        else:
            call.error = answer["error"]
        yield call
    finally:
        await call.close()
