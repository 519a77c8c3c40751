"""The probe's call: an aiortc peer without a browser, which shows nothing and measures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
import msgspec
import numpy as np
from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from av import VideoFrame
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420

from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.ice.ice_servers import rtc_configuration
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.probe.camera import MarkedCamera
from slipstream_server.probe.marker import read_marker
from slipstream_server.probe.offers import (
    CallFailed,
    ProbeTarget,
    call_by_offer,
    hang_up,
    offered_ice_servers,
)
from slipstream_server.probe.record import CallRecord, ReceivedFrame, TimedMessage

_ANSWER_S = 10.0
_FIRST_FRAME_S = 30.0  # an engine that has just been started may need as long
_DATA_MAX = 1 << 16

Send = Callable[[dict[str, object]], None]
"""Sends the server one update of the parameters."""


class ProbeCall:
    """One call to a server, which goes on recording until it is closed.

    Args:
        camera: what is sent.
        aspect: width to height of its pictures.
    """

    def __init__(self, camera: MarkedCamera, *, aspect: float) -> None:
        self.record = CallRecord()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._first = asyncio.Event()
        self._camera = camera
        self._aspect = aspect
        self._receivers: list[asyncio.Task[None]] = []

    async def until_first_frame(self) -> None:
        """Wait for it. Raises CallFailed where none comes."""
        first = asyncio.ensure_future(self._first.wait())
        done, _ = await asyncio.wait(
            (first, self.ended), timeout=_FIRST_FRAME_S, return_when=asyncio.FIRST_COMPLETED
        )
        first.cancel()
        if not done:
            raise CallFailed(f"no picture came within {_FIRST_FRAME_S:.0f} s")
        self.check_goes_on()

    def check_goes_on(self) -> None:
        """Raise CallFailed if the call has ended."""
        if self.ended.done():
            raise CallFailed(self.ended.result())

    def attach(self, peer: RTCPeerConnection) -> Send:
        """Send the camera on `peer`, and record what comes on it."""
        peer.addTrack(self._camera)
        channel = peer.createDataChannel("parameters")
        waiting: list[str] = []

        def on_message(text: str | bytes) -> None:
            if isinstance(text, str) and len(text) <= _DATA_MAX:
                self.record.messages.append(TimedMessage(now_ns(), text))

        def on_open() -> None:
            while waiting:
                channel.send(waiting.pop(0))

        def on_state() -> None:
            if peer.connectionState == "connected" and self.record.connected_ns is None:
                self.record.connected_ns = now_ns()
            elif peer.connectionState in ("failed", "closed") and not self.ended.done():
                self.ended.set_result(f"the connection has {peer.connectionState}")

        def on_track(track: MediaStreamTrack) -> None:
            self._receivers.append(asyncio.create_task(self._receive(track), name="receive"))

        channel.on("message", on_message)
        channel.on("open", on_open)
        peer.on("connectionstatechange", on_state)
        peer.on("track", on_track)

        def send(update: dict[str, object]) -> None:
            text = msgspec.json.encode(update).decode()
            if channel.readyState == "open":
                channel.send(text)
            else:
                waiting.append(text)

        return send

    async def close(self) -> None:
        """Wait for what still receives."""
        for receiver in self._receivers:
            receiver.cancel()
        await asyncio.gather(*self._receivers, return_exceptions=True)

    async def _receive(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, VideoFrame):
                    self._on_frame(frame)

    def _on_frame(self, frame: VideoFrame) -> None:
        at_ns = now_ns()
        plane = frame.planes[0]
        luma = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
        number = read_marker(luma[:, : frame.width], cut_from=self._aspect)
        self.record.frames.append(
            ReceivedFrame(
                at_ns=at_ns,
                number=number,
                drawn_ns=None if number is None else self._camera.drawn_ns(number),
                size=(frame.width, frame.height),
            )
        )
        self._first.set()


@contextlib.asynccontextmanager
async def placed_call(
    target: ProbeTarget, pictures: Sequence[I420], *, fps: int
) -> AsyncIterator[tuple[ProbeCall, Send]]:
    """A call that is offered and answered; it is hung up at the end of the block.

    Raises:
        CallFailed: if the server refuses the call or does not answer.
    """
    rows, width_px = pictures[0].shape
    camera = MarkedCamera(pictures, fps=fps)
    call = ProbeCall(camera, aspect=width_px / (rows * 2 // 3))
    connector = aiohttp.TCPConnector(ssl=target.tls)
    async with aiohttp.ClientSession(
        connector=connector, headers=target.headers, timeout=aiohttp.ClientTimeout(_ANSWER_S)
    ) as http:
        configuration = rtc_configuration(await offered_ice_servers(http, target))
        if target.relay_only:
            configuration.iceTransportPolicy = RTCIceTransportPolicy.RELAY
        peer = RTCPeerConnection(configuration)
        session = None
        try:
            send = call.attach(peer)
            if target.is_on_loopback and not target.relay_only:
                bound_gathering(peer, media_addressing=MediaAddressing(loopback=True))
            await peer.setLocalDescription(await peer.createOffer())
            session = await call_by_offer(http, target, peer, call.record, fps=fps)
            yield call, send
        finally:
            if session is not None:
                await hang_up(http, target, session)
            await peer.close()
            await call.close()
