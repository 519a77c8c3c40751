"""I420 pictures into VP8, one at a time, for viewers that take no H.264.

libvpx, as FFmpeg wraps it, takes no new bitrate while it runs: where that has moved far it is
opened anew, which costs a key frame. One thread: with two it spins while it waits, and is ten times
slower on a busy machine.
"""

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from slipstream_server.send.encoder_context import (
    NO_KEY_FRAMES,
    NOMINAL_FPS,
    TIME_BASE,
    EncodedPicture,
    EncoderContext,
    encode_frame,
)

_OPTIONS = {
    "deadline": "realtime",
    "cpu-used": "-8",
    "lag-in-frames": "0",
    "error-resilient": "1",
    "noise-sensitivity": "0",
    "static-thresh": "1",
    "undershoot-pct": "100",
    "overshoot-pct": "15",
}
_QUANTIZER = (2, 56)
_BUFFER_MS = 500
_BITRATE_DRIFT = 1.3  # the bitrate may be so many times above or below the one it was opened for


class Vp8Encoder:
    """One stream's encoder. Not for two threads at once."""

    def __init__(self) -> None:
        self._context = EncoderContext(_open)

    @property
    def opened(self) -> int:
        """Times that the encoder was opened."""
        return self._context.opened

    def encode(
        self, frame: VideoFrame, *, bitrate_bps: int, fps: float, force_key: bool = False
    ) -> EncodedPicture:
        """The frame's packet, with the frame's own time; as `H264Encoder.encode`.

        Raises:
            av.FFmpegError: if libvpx cannot be opened or fails.
        """
        rate_bps = int(bitrate_bps * NOMINAL_FPS / max(fps, 1.0))
        context = self._context.fitting(frame, rate_bps, max_drift=_BITRATE_DRIFT)
        return encode_frame(context, frame, force_key=force_key)


def _open(width_px: int, height_px: int, bitrate_bps: int) -> VideoCodecContext:
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height = width_px, height_px
    context.pix_fmt = "yuv420p"
    context.time_base = TIME_BASE
    context.framerate = Fraction(NOMINAL_FPS)
    context.gop_size = NO_KEY_FRAMES
    context.thread_count = 1
    context.qmin, context.qmax = _QUANTIZER
    context.bit_rate = bitrate_bps
    rate = str(bitrate_bps)
    buffer = str(bitrate_bps * _BUFFER_MS // 1000)
    context.options = _OPTIONS | {"minrate": rate, "maxrate": rate, "bufsize": buffer}
    context.open()
    return context
