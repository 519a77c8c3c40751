"""A video file in the making: new pictures, and the audio of another file as it is."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from slipstream_protocol.frames import Geometry

from slipstream_engine.offline.video_reader import ClipError, TimedPicture, VideoInfo

FORMATS = {".mp4": "mp4", ".mov": "mov"}  # they hold any time base exactly
_ENCODER = "libx264"
_MAX_TIMESCALE = 2**31 - 1
_BT_601 = 6  # the matrix by its number in H.264; PyAV's enum has swscale's numbers
_QUALITY = {"crf": "17", "preset": "medium"}


class VideoWriter:
    """Writes H.264 beside copied audio; complete only when the block ends without an error.

    Args:
        file: to write to; must be seekable.
        format: of the container, from `FORMATS`.
        clip: whose times and rate the pictures have.
        audio: streams of an open file to copy.

    Raises:
        ClipError: if the container cannot hold that audio.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        format: str,
        clip: VideoInfo,
        geometry: Geometry,
        audio: Sequence[av.AudioStream],
    ) -> None:
        self._container = av.open(file, "w", format=format, options=_exact_times(clip, audio))
        video = self._container.add_stream(_ENCODER, rate=clip.rate_hz, options=_QUALITY)
        assert isinstance(video, av.VideoStream), f"{_ENCODER} encodes pictures"
        self._video = video
        _describe(self._video.codec_context, clip.time_base, geometry)
        try:
            self._audio = {
                stream.index: self._container.add_stream_from_template(stream) for stream in audio
            }
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            names = ", ".join(stream.codec_context.name for stream in audio)
            raise ClipError(
                f"audio of {clip.path} ({names}) cannot be copied into {format}, "
                "convert it to AAC first"
            ) from error
        self._time_base = clip.time_base

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._container.mux(self._video.encode())
        self._container.close()

    def write(self, picture: TimedPicture) -> None:
        """Append a picture."""
        frame = av.VideoFrame.from_ndarray(picture.pixels, format="yuv420p")
        frame.pts, frame.time_base = picture.time, self._time_base
        self._container.mux(self._video.encode(frame))

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None:
        """Append audio as it is."""
        packet.stream = self._audio[packet.stream.index]
        self._container.mux(packet)


def container_format(path: Path) -> str:
    """The container that a file's name asks for.

    Raises:
        ClipError: if it is none that keeps times exactly.
    """
    if path.suffix.lower() not in FORMATS:
        raise ClipError(
            f"{path} ends in {path.suffix!r}, it must end in one of {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()]


def _exact_times(clip: VideoInfo, audio: Sequence[av.AudioStream]) -> dict[str, str]:
    """Say when streams begin in units that all of them can, not in rounded milliseconds."""
    bases = [clip.time_base, *(stream.time_base for stream in audio if stream.time_base)]
    units = math.lcm(*(base.denominator for base in bases))
    return {"movie_timescale": str(units if units <= _MAX_TIMESCALE else bases[0].denominator)}


def _describe(context: VideoCodecContext, time_base: Fraction, geometry: Geometry) -> None:
    context.width, context.height = geometry.width_px, geometry.height_px
    context.pix_fmt, context.time_base = "yuv420p", time_base
    context.color_range = ColorRange.MPEG
    context.colorspace = _BT_601
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M
