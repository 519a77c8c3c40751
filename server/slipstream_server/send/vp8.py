"""I420 pictures into VP8, one at a time: what is left where a viewer takes no H.264.

libvpx, as FFmpeg has it, takes no new bitrate while it runs: where that has moved far it is opened
anew, which costs a key frame. One thread: with two it waits in a spin, and is ten times slower on a
busy machine.
"""

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from slipstream_server.send.h264 import TIME_BASE, EncodedPicture

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
_NOMINAL_FPS = 30
_QUANTIZER = (2, 56)
_BUFFER_MS = 500
_DRIFT = 1.3  # the bitrate may be so many times above or below what it was opened for
_NEVER = 1 << 20


class Vp8Encoder:
    """One stream's encoder. Not for two threads at once."""

    def __init__(self) -> None:
        self.opened = 0
        self._context: VideoCodecContext | None = None
        self._opened_for_bps = 0

    def encode(
        self, frame: VideoFrame, *, bitrate_bps: int, fps: float, key: bool = False
    ) -> EncodedPicture:
        """The frame's packet, with the frame's own time; as `H264Encoder.encode`.

        Raises:
            av.FFmpegError: if libvpx cannot be opened or fails.
        """
        # it believes in a constant frame rate
        context = self._fitting(frame, int(bitrate_bps * _NOMINAL_FPS / max(fps, 1.0)))
        frame.pict_type = PictureType.I if key else PictureType.NONE
        packets = context.encode(frame)
        assert len(packets) == 1, f"a frame came out as {len(packets)} packets, no lag was set"
        packet = packets[0]
        packet.time_base = TIME_BASE
        return EncodedPicture(packet=packet, key=packet.is_keyframe)

    def _fitting(self, frame: VideoFrame, bitrate_bps: int) -> VideoCodecContext:
        """The open encoder, or a new one where it does not fit."""
        context = self._context
        if context is not None and (context.width, context.height) == (frame.width, frame.height):
            moved = bitrate_bps / self._opened_for_bps
            if 1 / _DRIFT <= moved <= _DRIFT:
                return context
        context = av.CodecContext.create("libvpx", "w")
        context.width, context.height = frame.width, frame.height
        context.pix_fmt = "yuv420p"
        context.time_base = TIME_BASE
        context.framerate = Fraction(_NOMINAL_FPS)
        context.gop_size = _NEVER
        context.thread_count = 1
        context.qmin, context.qmax = _QUANTIZER
        context.bit_rate = bitrate_bps
        rate = str(bitrate_bps)
        buffer = str(bitrate_bps * _BUFFER_MS // 1000)
        context.options = _OPTIONS | {"minrate": rate, "maxrate": rate, "bufsize": buffer}
        context.open()
        self._context = context
        self._opened_for_bps = bitrate_bps
        self.opened += 1
        return context
