"""I420 pictures into H.264, one at a time, the bitrate changed in place.

aiortc's own encoder runs x264 at its default preset, five to nine times the work for the same
picture, and is replaced, with a key frame, at every change of the bitrate.

x264 takes a new bitrate without a key frame only if it was opened with `maxrate == bit_rate`, and
never above that; so it is opened far above the ceiling and lowered at once. Its buffer, which
bounds how large a key frame may be, stays as it was opened: when a key frame is due anyway and the
bitrate has moved far, the encoder is opened anew. It assumes a constant frame rate, so its bitrate
is scaled by the ratio of that to the real one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from slipstream_server.send.encoder_context import (
    NO_KEY_FRAMES,
    NOMINAL_FPS,
    TIME_BASE,
    EncodedPicture,
    EncoderContext,
    encode_frame,
)

logger = logging.getLogger(__name__)

_HEADROOM = 4  # opened at this many times the ceiling: down to a quarter of the nominal frame rate
_BUFFER_MS = 250
_BUFFER_DRIFT = 2  # the buffer may be this many times too large or too small
_BT_601 = 6  # the matrix by its number in H.264; PyAV's enum has swscale's numbers
_LEVEL_31_PIXELS = 3600 * 256  # macroblocks of level 3.1, which is what aiortc negotiates


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
            "sc_threshold": "0",  # no key frame at a cut: nobody seeks in a call
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


class H264Encoder:
    """One stream's encoder. Not for two threads at once.

    Args:
        codec: see `choose_codec`.
        ceiling_bps: the highest bitrate it is used at.
    """

    def __init__(self, codec: H264Codec, *, ceiling_bps: int) -> None:
        if ceiling_bps < 1:
            raise ValueError(f"ceiling_bps is {ceiling_bps}, it must be above 0")
        self._ceiling_bps = ceiling_bps
        self._context = EncoderContext(partial(_open, codec, ceiling_bps))

    @property
    def opened(self) -> int:
        """Times that the encoder was opened."""
        return self._context.opened

    def encode(
        self, frame: VideoFrame, *, bitrate_bps: int, fps: float, force_key: bool = False
    ) -> EncodedPicture:
        """The frame's packet, with the frame's own time.

        Args:
            frame: yuv420p; another size than before makes a key frame.
            bitrate_bps: of the stream from here on.
            fps: at which frames come at present.
            force_key: whether to encode a key frame.

        Raises:
            av.FFmpegError: if the encoder cannot be opened or fails.
        """
        max_drift = _BUFFER_DRIFT if force_key else None
        context = self._context.fitting(frame, bitrate_bps, max_drift=max_drift)
        rate_bps = int(bitrate_bps * NOMINAL_FPS / max(fps, 1.0))
        context.bit_rate = min(rate_bps, self._ceiling_bps * _HEADROOM)
        return encode_frame(context, frame, force_key=force_key)


def _open(
    codec: H264Codec, ceiling_bps: int, width_px: int, height_px: int, bitrate_bps: int
) -> VideoCodecContext:
    context = cast(VideoCodecContext, av.CodecContext.create(codec.name, "w"))
    context.width = width_px
    context.height = height_px
    context.pix_fmt = "yuv420p"
    context.time_base = TIME_BASE
    context.framerate = Fraction(NOMINAL_FPS)
    context.gop_size = NO_KEY_FRAMES
    context.max_b_frames = 0
    context.thread_count = 1
    context.profile = "Baseline"
    context.color_range = ColorRange.MPEG
    context.colorspace = _BT_601
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M
    context.bit_rate = ceiling_bps * _HEADROOM
    context.options = {
        **codec.options,
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
    H100): only encoding a frame shows it. That takes tens of milliseconds where there is a driver;
    call this once.

    Args:
        works: whether a codec can be used; encodes one frame by default.
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
            frame, bitrate_bps=1_000_000, fps=NOMINAL_FPS, force_key=True
        )
    except (av.FFmpegError, ValueError, AssertionError) as error:
        logger.debug("%s cannot be used: %s", codec.name, error)
        return False
    return encoded.is_key
