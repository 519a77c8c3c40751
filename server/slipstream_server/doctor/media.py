"""The media stack: a call from this process to itself, and the codecs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, cast

import av
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from slipstream_protocol.clock import RTP_HZ

from slipstream_server.config import ServerConfig
from slipstream_server.doctor.finding import Finding, fail, ok, warn
from slipstream_server.errors import SlipstreamError
from slipstream_server.frames.playout import Playout
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.rtc.peer_connection import PeerConnection
from slipstream_server.rtp.aiortc_internals import InternalsChanged
from slipstream_server.rtp.sdp import read_offer
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.h264 import NVENC, X264, H264Codec, H264Encoder, can_encode
from slipstream_server.send.keyframes import KeyFrameScheduler
from slipstream_server.send.output_track import OutputTrack

_WIDTH_PX, _HEIGHT_PX = 640, 480
_FRAMES = 5
_BITRATE_BPS = 2_000_000


async def check_call() -> Finding:
    """Whether a call on this machine connects: offer, answer, ICE over UDP, DTLS."""
    with ThreadPoolExecutor(1) as pool:
        encoding = AdaptiveEncoder(
            codec=X264,
            pool=pool,
            rate=RateControl(ceiling_bps=_BITRATE_BPS),
            key_frames=KeyFrameScheduler(),
        )
        output = OutputTrack(Playout(chunk_frames=4), encoding, on_sent=lambda *_: None)
        peer = PeerConnection(
            output,
            encoding,
            low_delay=True,
            servers=(),
            media_addressing=MediaAddressing(loopback=True),
            on_open=lambda: None,
            on_message=lambda *_: None,
        )
        caller = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            return await _call(caller, peer)
        except InternalsChanged as error:
            return fail(str(error), "pip install 'slipstream' again: it names the range of aiortc")
        except SlipstreamError as error:
            return fail(f"an offer of aiortc's own is refused: {error}", "report this")
        finally:
            await caller.close()
            await peer.close()
            output.stop()


async def _call(caller: RTCPeerConnection, peer: PeerConnection) -> Finding:
    connected = asyncio.Event()

    def on_state() -> None:
        if caller.connectionState == "connected":
            connected.set()

    caller.on("connectionstatechange", on_state)
    caller.addTrack(VideoStreamTrack())
    caller.createDataChannel("parameters")
    bound_gathering(caller, media_addressing=MediaAddressing(loopback=True))
    await caller.setLocalDescription()
    offer = read_offer(caller.localDescription.sdp, "offer")
    answer = await peer.answer(offer)
    await caller.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    for candidate in offer.candidates:
        await peer.add_candidate(candidate)
    await peer.add_candidate(None)
    await peer.connected.wait()
    await connected.wait()
    return ok("a caller on this machine gets through: ICE, DTLS, aiortc as we know it")


async def check_codecs() -> Finding:
    """Whether H.264 and VP8 frames are encoded and decoded."""
    broken = {
        name: reason
        for name, attempt in (("H264", _try_h264), ("VP8", _try_vp8))
        if (reason := await asyncio.to_thread(_failure, attempt))
    }
    if not broken:
        return ok("H264 (x264) and VP8 are encoded and decoded")
    reasons = "; ".join(f"{name}: {reason}" for name, reason in broken.items())
    advice = "pip install --force-reinstall --only-binary :all: av (its wheels hold both)"
    return fail(reasons, advice) if len(broken) == 2 else warn(reasons, advice)


async def check_nvenc(
    config: ServerConfig, *, works: Callable[[H264Codec], bool] = can_encode
) -> Finding:
    """Whether the graphics card encodes, tried on one frame."""
    if await asyncio.to_thread(works, NVENC):
        used = "used" if config.video_encoder == "auto" else "used with --video-encoder auto"
        return ok(f"NVENC encodes; it is {used}")
    return ok("no NVENC here (cards made for computing have none); x264 encodes")


def _failure(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except (av.FFmpegError, ValueError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _try_h264() -> None:
    encoder = H264Encoder(X264, ceiling_bps=_BITRATE_BPS)
    packets = [
        encoder.encode(_frame(number), bitrate_bps=_BITRATE_BPS, fps=30).packet
        for number in range(_FRAMES)
    ]
    _decode("h264", packets)


def _try_vp8() -> None:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height = _WIDTH_PX, _HEIGHT_PX
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, RTP_HZ)
    encoder.options = {"deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0"}
    packets = [packet for number in range(_FRAMES) for packet in encoder.encode(_frame(number))]
    _decode("vp8", [*packets, *encoder.encode(None)])


def _decode(name: str, packets: list[Any]) -> None:
    decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    sizes = {(frame.width, frame.height) for frame in frames}
    assert len(frames) == _FRAMES, f"{_FRAMES} frames went in, {len(frames)} came out"
    assert sizes == {(_WIDTH_PX, _HEIGHT_PX)}, f"frames came out as {sizes}"


def _frame(number: int) -> VideoFrame:
    frame = VideoFrame(_WIDTH_PX, _HEIGHT_PX, "yuv420p")
    frame.pts = number * RTP_HZ // 30
    frame.time_base = Fraction(1, RTP_HZ)
    return frame
