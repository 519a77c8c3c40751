"""Writes video files: H.264 of generated frames, and the audio of another file."""

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

from slipstream_engine.offline.sound import (
    AacForm,
    ConvertedSound,
    CopiedSound,
    SoundTrack,
    conversion_of,
)
from slipstream_engine.offline.video_reader import TimedFrame, VideoFileError, VideoInfo

FORMATS = {".mp4": "mp4", ".mov": "mov"}  # containers that hold any time base exactly
_ENCODER = "libx264"
_MAX_TIMESCALE = 2**31 - 1
_BT_601 = 6  # the matrix by its number in H.264; PyAV's enum has swscale's numbers
_QUALITY = {"crf": "17", "preset": "medium"}


class VideoWriter:
    """Writes H.264 beside audio; complete only when the block ends without an error.

    Args:
        file: to write to; must be seekable.
        format: of the container, from `FORMATS`.
        source: the video whose times and rate the frames have.
        audio: streams of an open file to copy; what the container cannot hold is converted.

    Raises:
        VideoFileError: if the container cannot hold that audio all the same.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        format: str,
        source: VideoInfo,
        geometry: Geometry,
        audio: Sequence[av.AudioStream],
    ) -> None:
        forms = {stream.index: conversion_of(stream, format=format) for stream in audio}
        units = [(forms[stream.index] or stream).time_base or Fraction(1) for stream in audio]
        self._container = av.open(file, "w", format=format, options=_exact_times(source, units))
        video = self._container.add_stream(_ENCODER, rate=source.rate_hz, options=_QUALITY)
        assert isinstance(video, av.VideoStream), f"{_ENCODER} encodes video"
        self._video = video
        _describe(self._video.codec_context, source.time_base, geometry)
        try:
            self._audio = {stream.index: self._add(stream, forms[stream.index]) for stream in audio}
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            names = ", ".join(stream.codec_context.name for stream in audio)
            raise VideoFileError(
                f"audio of {source.path} ({names}) cannot be written into {format}, "
                "convert it to AAC first, or leave it out with --no-audio"
            ) from error
        self._time_base = source.time_base

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
            for track in self._audio.values():
                self._container.mux(list(track.rest()))
        self._container.close()

    def notes(self) -> list[str]:
        """What was changed of the audio, a line each; to be asked once all is written."""
        return [note for track in self._audio.values() for note in track.notes()]

    def write(self, frame: TimedFrame) -> None:
        """Append a frame."""
        raw = av.VideoFrame.from_ndarray(frame.pixels, format="yuv420p")
        raw.pts, raw.time_base = frame.time, self._time_base
        self._container.mux(self._video.encode(raw))

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None:
        """Append an audio packet; drop one of a track that is left out."""
        if packet.stream.index in self._audio:
            self._container.mux(list(self._audio[packet.stream.index].packets(packet)))

    def _add(self, stream: av.AudioStream, form: AacForm | None) -> SoundTrack:
        if form is None:
            return CopiedSound(self._container.add_stream_from_template(stream))
        return ConvertedSound(stream, form, self._container)


def container_format(path: Path) -> str:
    """The container format of a file's suffix.

    Raises:
        VideoFileError: if it is not one that keeps times exactly.
    """
    if path.suffix.lower() not in FORMATS:
        raise VideoFileError(
            f"{path} ends in {path.suffix!r}, it must end in one of {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()]


def _exact_times(source: VideoInfo, audio: Sequence[Fraction]) -> dict[str, str]:
    """Options that store start times in units common to all streams, not in rounded ms."""
    bases = [source.time_base, *audio]
    units = math.lcm(*(base.denominator for base in bases))
    return {"movie_timescale": str(units if units <= _MAX_TIMESCALE else bases[0].denominator)}


def _describe(context: VideoCodecContext, time_base: Fraction, geometry: Geometry) -> None:
    context.width, context.height = geometry.width_px, geometry.height_px
    context.pix_fmt, context.time_base = "yuv420p", time_base
    context.color_range = ColorRange.MPEG
    context.colorspace = _BT_601
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M
