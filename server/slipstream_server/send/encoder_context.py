"""What the H.264 and the VP8 encoder share: an open FFmpeg encoder, opened anew where need be."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from slipstream_protocol.clock import RTP_HZ

TIME_BASE = Fraction(1, RTP_HZ)
NOMINAL_FPS = 30  # both encoders believe in a constant frame rate
NO_KEY_FRAMES = 1 << 20  # as a distance of key frames in frames: only forced ones


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    """A frame ready to be packetised."""

    packet: "av.Packet[Any]"  # generic for the type checker only
    is_key: bool


class EncoderContext:
    """The open encoder of one stream. Not for two threads at once.

    Args:
        open_context: opens an encoder for a width and a height in pixels and a bitrate in bit/s.
            It must not refer to this object's owner: in a cycle the encoder's memory, megabytes,
            would wait for the collector.
    """

    def __init__(self, open_context: Callable[[int, int, int], VideoCodecContext]) -> None:
        self.opened = 0  # times that an encoder was opened
        self._open = open_context
        self._context: VideoCodecContext | None = None
        self._opened_for_bps = 0

    def fitting(
        self, frame: VideoFrame, bitrate_bps: int, *, max_drift: float | None
    ) -> VideoCodecContext:
        """The open encoder; a new one where the frame has another size or the bitrate moved far.

        Args:
            max_drift: by what factor the bitrate may be above or below the one that the encoder
                was opened for; None for any.

        Raises:
            av.FFmpegError: if no encoder can be opened.
        """
        context = self._context
        if context is not None and (context.width, context.height) == (frame.width, frame.height):
            drift = max(bitrate_bps, self._opened_for_bps) / min(bitrate_bps, self._opened_for_bps)
            if max_drift is None or drift <= max_drift:
                return context
        self._context = self._open(frame.width, frame.height, bitrate_bps)
        self._opened_for_bps = bitrate_bps
        self.opened += 1
        return self._context


def encode_frame(
    context: VideoCodecContext, frame: VideoFrame, *, force_key: bool
) -> EncodedPicture:
    """The one packet of a frame, from an encoder without delay.

    Raises:
        av.FFmpegError: if the encoder fails.
    """
    frame.pict_type = PictureType.I if force_key else PictureType.NONE
    packets = context.encode(frame)
    assert len(packets) == 1, f"a frame came out as {len(packets)} packets, no delay was set"
    packet = packets[0]
    packet.time_base = TIME_BASE
    return EncodedPicture(packet=packet, is_key=packet.is_keyframe)
