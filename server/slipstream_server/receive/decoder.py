"""Decodes the frames of one call, with a bound on its threads and on the size of pictures."""

from dataclasses import dataclass

import av
from aiortc.mediastreams import VIDEO_TIME_BASE
from av import VideoFrame
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from slipstream_server.receive.picture_limits import MAX_PIXELS

_THREADS = 2  # FFmpeg would take one for each processor, in every call
_CODECS = {"H264": "h264", "VP8": "libvpx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderTask:
    """One frame for the decoder.

    Args:
        codec: as aiortc names it ("H264", "VP8").
        pts: in 90 kHz.
    """

    codec: str
    data: bytes
    pts: int


class BoundedDecoder:
    """Frames of one codec after the other; its context is kept from frame to frame."""

    def __init__(self) -> None:
        self._codec = ""
        self._context: VideoCodecContext | None = None

    def decode(self, encoded: DecoderTask) -> list[VideoFrame]:
        """The pictures that a frame completes.

        Raises:
            av.FFmpegError: if it cannot be decoded, or its picture is larger than any that is
                served.
        """
        if self._context is None or encoded.codec != self._codec:
            context = av.CodecContext.create(_CODECS[encoded.codec], "r")
            assert isinstance(context, VideoCodecContext), "both are of video"
            context.thread_count = _THREADS
            context.options = {"max_pixels": str(MAX_PIXELS)}
            self._codec, self._context = encoded.codec, context
        packet = Packet(encoded.data)
        packet.pts, packet.time_base = encoded.pts, VIDEO_TIME_BASE
        return self._context.decode(packet)
