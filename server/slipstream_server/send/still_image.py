"""One generated picture as a file: a small JPEG for lists of streams (ITU-T T.81; colours as
JFIF's), or a PNG of its own size and without loss (ISO/IEC 15948).

Either takes milliseconds to tens of them: not for the event loop.
"""

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange
from slipstream_protocol.frames import I420, FrameSize

from slipstream_server.send.output_track import to_video_frame

_QUANTIZER = 4  # FFmpeg's scale, 2 is the finest


def encode_jpeg(frame: I420, *, longest_px: int) -> bytes:
    """The picture, no side longer than `longest_px`; a smaller one keeps its size.

    Args:
        frame: `[H * 3 // 2, W]`, BT.601 in limited range; JFIF has the same matrix in full range.

    Raises:
        av.FFmpegError: if FFmpeg fails.
    """
    size = _scaled(FrameSize.of(frame), longest_px)
    context = av.CodecContext.create("mjpeg", "w")
    context.pix_fmt = "yuvj420p"
    context.qmin = context.qmax = _QUANTIZER
    return _encoded(context, frame, size)


def encode_png(frame: I420) -> bytes:
    """The picture in RGB.

    Args:
        frame: `[H * 3 // 2, W]`, BT.601 in limited range.

    Raises:
        av.FFmpegError: if FFmpeg fails.
    """
    context = av.CodecContext.create("png", "w")
    context.pix_fmt = "rgb24"
    return _encoded(context, frame, FrameSize.of(frame))


def _encoded(context: VideoCodecContext, frame: I420, size: FrameSize) -> bytes:
    picture = to_video_frame(frame).reformat(
        width=size.width_px,
        height=size.height_px,
        format=context.pix_fmt,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    context.width, context.height = size.width_px, size.height_px
    context.time_base = Fraction(1, 1)
    context.thread_count = 1
    picture.pts, picture.time_base = 0, context.time_base
    return b"".join(map(bytes, [*context.encode(picture), *context.encode(None)]))


def _scaled(size: FrameSize, longest_px: int) -> FrameSize:
    """The largest of about the same shape with no side longer than that."""
    scale = min(1.0, longest_px / max(size.width_px, size.height_px))
    width_px, height_px = (
        max(2, round(side * scale / 2) * 2) for side in (size.width_px, size.height_px)
    )
    return FrameSize(width_px, height_px)
