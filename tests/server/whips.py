"""A WHIP publisher and a WHEP subscriber in plain aiortc, and checks of refused requests."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from aiortc import (
    MediaStreamTrack,
    RTCCertificate,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing

from tests.server.calls import Call, Camera, number_of
from tests.server.serving import Serving, poll

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


class WhipCall(Call):
    """A call made by one POST; `location` is its URL, for DELETE."""

    location = ""
    headers: Mapping[str, str]


def readable_in_order(call: Call) -> int:
    """How many of the frames received can be read; none was received twice or late."""
    numbers = [number for frame in call.frames if (number := number_of(frame)) is not None]
    assert numbers == sorted(set(numbers))
    return len(numbers)


@asynccontextmanager
async def posted(
    client: TestClient[Any, Any] | ClientSession,
    path: str,
    *,
    camera: MediaStreamTrack | None = None,
    sound: bool = False,
    sounds: int = 0,
    codec: str | None = None,
    headers: dict[str, str] | None = None,
    certificate: RTCCertificate | None = None,
    edit: Callable[[str], str] = lambda sdp: sdp,
    edit_answer: Callable[[str], str] = lambda sdp: sdp,
) -> AsyncIterator[WhipCall]:
    """A publisher if there is a camera, else a subscriber; its connection is closed at the end.

    Args:
        sound: whether it offers sound too, and first.
        sounds: how many tracks of it.
        codec: the only one it takes; all by default.
        certificate: its own, instead of one that aiortc makes.
        edit: changes its offer before that is sent.
        edit_answer: changes the answer before it is obeyed.
    """
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if certificate is not None:
        setattr(pc, "_RTCPeerConnection__certificates", [certificate])  # noqa: B010
    call = WhipCall(pc, None)
    direction = "recvonly" if camera is None else "sendonly"
    try:
        for _ in range(max(sounds, int(sound))):
            pc.addTransceiver("audio", direction=direction)
        transceiver = pc.addTransceiver(camera or "video", direction=direction)
        if codec is not None:
            known = RTCRtpSender.getCapabilities("video").codecs
            names = (f"video/{codec}", "video/rtx")
            transceiver.setCodecPreferences([one for one in known if one.mimeType in names])
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        sdp = edit(pc.localDescription.sdp)
        async with client.post(path, data=sdp, headers=SDP | (headers or {})) as response:
            body = await response.text()
            call.status, call.headers = response.status, response.headers
        if call.status == 201:
            call.answer_sdp = body
            call.location = call.headers["Location"]
            call.address = call.location.rsplit("/", 1)[1]
            call.id = call.address.partition(".")[0]
            await pc.setRemoteDescription(RTCSessionDescription(edit_answer(body), "answer"))
        else:
            call.error = body
        yield call
    finally:
        await call.close()


@asynccontextmanager
async def publishing(
    server: Serving, name: str = "stage", **options: Any
) -> AsyncIterator[WhipCall]:
    """A publisher whose stream is live."""
    path = options.pop("path", f"/whip/{name}")
    async with posted(server.client, path, camera=Camera(), **options) as publisher:
        assert publisher.status == 201, publisher.error
        await until_state(server, name, "live")
        yield publisher


async def until_state(server: Serving, name: str, state: str) -> None:
    def is_reached() -> bool:
        return any(
            stream.id == name and stream.state_event().state == state
            for stream in server.sessions.streams()
        )

    await poll(is_reached)


async def error_of(
    server: Serving, method: str, path: str, body: str | bytes = b"", **headers: str
) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.client.request(method, path, data=body, headers=named) as response:
        return response.status, (await response.json())["error"]


def assert_error(got: tuple[int, str], status: int, reason: str) -> None:
    assert (got[0], reason in got[1]) == (status, True), (got, reason)
