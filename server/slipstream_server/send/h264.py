"""I420 pictures into H.264, one at a time, the bitrate changed in place.

aiortc's own encoder runs x264 at its default preset, five to nine times the work for the same
picture, and is thrown away with a key frame at every change of the bitrate.

x264 takes a new bitrate without a key frame only if it was opened with `maxrate == bit_rate`, and
never above that; so it is opened far above the ceiling and set down at once. Its buffer, which
bounds how large a key frame may be, stays as it was opened: when a key frame is due anyway and the
bitrate has moved far, the encoder is opened anew. It believes in a constant frame rate, so it is
told a bitrate scaled by how far the real one is from that.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from slipstream_protocol.clock import RTP_HZ

logger = logging.getLogger(__name__)

TIME_BASE = Fraction(1, RTP_HZ)
_NOMINAL_FPS = 30
_HEADROOM = 4  # opened at this many times the ceiling: down to a quarter of the nominal frame rate
_BUFFER_MS = 250
_BUFFER_DRIFT = 2  # the buffer may be this many times too large or too small
_LEVEL_31_PIXELS = 3600 * 256  # macroblocks of level 3.1, which is what aiortc negotiates
_NEVER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class H264Codec:
    """An H.264 encoder of FFmpeg and its options for low delay.

    Args:
        name: FFmpeg's.
        options: beyond bitrate and buffer.
    """

    name: str
    options: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


X264 = H264Codec(
    name="libx264",
    options=MappingProxyType(
        {
            "preset": "superfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "sc_threshold": "0",  # a cut is no reason for a key frame: nobody seeks in a call
        }
    ),
)
NVENC = H264Codec(
    name="h264_nvenc",
    options=MappingProxyType(
        {
            "preset": "p2",
            "tune": "ull",
            "rc": "cbr",
            "zerolatency": "1",
            "delay": "0",
            "forced-idr": "1",
            "no-scenecut": "1",
        }
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    """A frame ready to be packetised."""

    packet: "av.Packet[Any]"  # generic for the type checker only
    key: bool


class H264Encoder:
    """One stream's encoder. Not for two threads at once.

    Args:
        codec: see `choose_codec`.
        ceiling_bps: the highest bitrate it will be asked for.
    """

    def __init__(self, codec: H264Codec, *, ceiling_bps: int) -> None:
        if ceiling_bps < 1:
            raise ValueError(f"ceiling_bps is {ceiling_bps}, it must be above 0")
        self.opened = 0
        self._codec = codec
        self._ceiling_bps = ceiling_bps
        self._context: VideoCodecContext | None = None
        self._opened_for_bps = 0

    def encode(
        self, frame: VideoFrame, *, bitrate_bps: int, fps: float, key: bool = False
    ) -> EncodedPicture:
        """The frame's packet, with the frame's own time.

        Args:
            frame: yuv420p; another size than before makes a key frame.
            bitrate_bps: of the stream from here on.
            fps: at which frames come at present.
            key: whether it must be decodable by itself.

        Raises:
            av.FFmpegError: if the encoder cannot be opened or fails.
        """
        context = self._fitting(frame, bitrate_bps, key=key)
        rate_bps = int(bitrate_bps * _NOMINAL_FPS / max(fps, 1.0))
        context.bit_rate = min(rate_bps, self._ceiling_bps * _HEADROOM)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        packets = context.encode(frame)
        assert len(packets) == 1, f"a frame came out as {len(packets)} packets, zero delay was set"
        packet = packets[0]
        packet.time_base = TIME_BASE
        return EncodedPicture(packet=packet, key=packet.is_keyframe)

    def _fitting(self, frame: VideoFrame, bitrate_bps: int, *, key: bool) -> VideoCodecContext:
        """The open encoder, or a new one where it does not fit the frame or its buffer is off."""
        context = self._context
        if context is not None and (context.width, context.height) == (frame.width, frame.height):
            off = max(bitrate_bps, self._opened_for_bps) / min(bitrate_bps, self._opened_for_bps)
            if not key or off <= _BUFFER_DRIFT:
                return context
        self._context = self._open(frame.width, frame.height, bitrate_bps)
        self._opened_for_bps = bitrate_bps
        self.opened += 1
        return self._context

    def _open(self, width_px: int, height_px: int, bitrate_bps: int) -> VideoCodecContext:
        context = cast(VideoCodecContext, av.CodecContext.create(self._codec.name, "w"))
        context.width = width_px
        context.height = height_px
        context.pix_fmt = "yuv420p"
        context.time_base = TIME_BASE
        context.framerate = Fraction(_NOMINAL_FPS)
        context.gop_size = _NEVER
        context.max_b_frames = 0
        context.thread_count = 1
        context.profile = "Baseline"
        context.bit_rate = self._ceiling_bps * _HEADROOM
        context.options = {
            **self._codec.options,
            "maxrate": str(context.bit_rate),
            "bufsize": str(bitrate_bps * _BUFFER_MS // 1000),
        }
        if width_px * height_px <= _LEVEL_31_PIXELS:
            context.options["level"] = "3.1"
        context.open()
        return context


def choose_codec(works: Callable[[H264Codec], bool] | None = None) -> H264Codec:
    """The graphics card's encoder where encoding a frame with it works, x264 everywhere else.

    FFmpeg lists NVENC whether there is a card or not, and many that compute have no encoder (A100,
    H100): only a try tells. It takes tens of milliseconds where there is a driver; ask once.

    Args:
        works: tells whether a codec does; tries one frame by default.
    """
    if (works or can_encode)(NVENC):
        logger.info("video is encoded by the graphics card (%s)", NVENC.name)
        return NVENC
    return X264


def can_encode(codec: H264Codec) -> bool:
    """Whether one frame can be encoded here and now."""
    frame = VideoFrame(640, 480, "yuv420p")
    frame.pts = 0
    frame.time_base = TIME_BASE
    try:
        encoded = H264Encoder(codec, ceiling_bps=1_000_000).encode(
            frame, bitrate_bps=1_000_000, fps=_NOMINAL_FPS, key=True
        )
    except (av.FFmpegError, ValueError, AssertionError) as error:
        logger.debug("%s cannot be used: %s", codec.name, error)
        return False
    return encoded.key
