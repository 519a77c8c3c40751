"""One generated picture as PNG, of its own size and without loss (ISO/IEC 15948)."""

from fractions import Fraction

import av
from av.video.reformatter import ColorRange
from slipstream_protocol.frames import I420

from slipstream_server.send.output_track import to_video_frame


def encode_png(frame: I420) -> bytes:
    """The picture in RGB.

    Takes tens of milliseconds: not for the event loop.

    Args:
        frame: `[H * 3 // 2, W]`, BT.601 in limited range.

    Raises:
        av.FFmpegError: if FFmpeg fails.
    """
    picture = to_video_frame(frame).reformat(
        format="rgb24",
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    context = av.CodecContext.create("png", "w")
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = "rgb24"
    context.time_base = Fraction(1, 1)
    context.thread_count = 1
    picture.pts, picture.time_base = 0, context.time_base
    return b"".join(map(bytes, [*context.encode(picture), *context.encode(None)]))
