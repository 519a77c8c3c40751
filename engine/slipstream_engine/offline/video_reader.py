"""Reads video files: frames of one size in the order of their times, and checks for damage.

H height, W width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from slipstream_protocol.frames import I420, i420_planes

AudioSink = Callable[["av.Packet[av.AudioStream]"], None]

MISSING_S = 1.0  # a file may end so much earlier than its header says


class VideoFileError(ValueError):
    """A video file that cannot be used; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What decoding a whole file has shown.

    Args:
        time_base: seconds to a unit of the frames' times.
        rate_hz: mean number of frames a second.
    """

    path: Path
    frames: int
    time_base: Fraction
    rate_hz: Fraction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedFrame:
    """One frame.

    Args:
        pixels: I420 `[H * 3 // 2, W]`.
        time: in units of the video's time base.
    """

    pixels: I420
    time: int


class VideoReader:
    """An open video file: its first video stream, and all its audio.

    Raises:
        VideoFileError: if there is no such file, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise VideoFileError(f"there is no file at {path}, name a video file")
        self.path = path
        self._container = _open(path)
        streams = self._container.streams
        if not streams.video:
            self._container.close()
            raise VideoFileError(f"{path} holds no video, name a video file")
        self.video = streams.video[0]
        self.audio = streams.audio

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    def frames(self, on_audio: AudioSink) -> Iterator[av.VideoFrame]:
        """Decode every frame; audio packets between them go to `on_audio`.

        Raises:
            VideoFileError: at the first damaged frame or packet, at a time that is not after the
                one before it, and at the end of a truncated file.
        """
        number, last, end_s = 0, None, 0.0
        try:
            for packet in self._container.demux(self.video, *self.audio):
                if packet.is_corrupt:
                    raise VideoFileError(
                        f"{self.path} is truncated or damaged after frame {number}, make it anew"
                    )
                end_s = max(end_s, _end_s(packet))
                if packet.stream.index != self.video.index:
                    if packet.dts is not None:  # the last, empty one marks the end
                        on_audio(cast("av.Packet[av.AudioStream]", packet))
                    continue
                for frame in self.video.decode(cast("av.Packet[av.VideoStream]", packet)):
                    self._check(frame, number, last)
                    number, last = number + 1, frame.pts
                    yield frame
        except av.FFmpegError as error:
            raise VideoFileError(
                f"{self.path} is truncated or damaged after frame {number}, make it anew: "
                f"{error.strerror}"
            ) from error
        self._check_end(end_s)

    def _check(self, frame: av.VideoFrame, number: int, last: int | None) -> None:
        if frame.is_corrupt:
            raise VideoFileError(f"frame {number} of {self.path} is damaged, make the file anew")
        if frame.pts is None or frame.time_base != self.video.time_base:
            raise VideoFileError(
                f"frame {number} of {self.path} has no time, remux the file to mp4"
            )
        if last is not None and frame.pts <= last:
            raise VideoFileError(
                f"frame {number} of {self.path} is at {frame.time:.3f} s, "
                "not after the frame before it, make the file anew"
            )

    def _check_end(self, end_s: float) -> None:
        """Find truncation: demuxers take the end of a truncated file for the end of the video."""
        container = self._container
        index_end = max((e.pos + e.size for e in self.video.index_entries), default=0)
        if index_end > container.size:
            raise VideoFileError(
                f"{self.path} is truncated, it has {container.size} bytes of at least {index_end}"
            )
        header_s = (container.duration or 0) / av.time_base + (
            container.start_time or 0
        ) / av.time_base
        if end_s < header_s - MISSING_S:
            raise VideoFileError(
                f"{self.path} is truncated, it ends at {end_s:.1f} s of {header_s:.1f} s"
            )


def examine_video(path: Path, *, least_frames: int) -> VideoInfo:
    """Decode a whole file to check that it can be used.

    Raises:
        VideoFileError: if it cannot.
    """
    with VideoReader(path) as source:
        frames = sum(1 for _ in source.frames(on_audio=lambda packet: None))
        if frames < least_frames:
            raise VideoFileError(
                f"{path} has {frames} frames, it must have at least {least_frames}"
            )
        time_base, rate_hz = source.video.time_base, source.video.average_rate
        assert time_base is not None, "frames were compared with it"
        return VideoInfo(
            path=path, frames=frames, time_base=time_base, rate_hz=rate_hz or Fraction(25)
        )


class FrameScaler:
    """Makes I420 frames of one size: upright, scaled to cover it, cropped to the centre.

    The colours are BT.601, limited range.

    Args:
        width_px, height_px: of the result; even.
        pixel_aspect: width over height of a source's pixel.
    """

    def __init__(self, *, width_px: int, height_px: int, pixel_aspect: Fraction) -> None:
        self._size_px = (width_px, height_px)
        self._pixel_aspect = pixel_aspect
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> I420:
        quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise
        width_px, height_px = self._size_px[::-1] if quarter_turns % 2 else self._size_px
        cover_px = _covering_size_px(
            frame.width * self._pixel_aspect, frame.height, width_px, height_px
        )
        scaled = self._reformatter.reformat(
            frame,
            width=cover_px[0],
            height=cover_px[1],
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            src_color_range=None if frame.color_range else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
        )
        out: I420 = np.empty((self._size_px[1] * 3 // 2, self._size_px[0]), np.uint8)
        for shift, plane, target in zip((0, 1, 1), scaled.planes, i420_planes(out), strict=True):
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            top = (cover_px[1] - height_px) // 4 * 2 >> shift
            left = (cover_px[0] - width_px) // 4 * 2 >> shift
            rows, columns = height_px >> shift, width_px >> shift
            target[:] = np.rot90(pixels[top : top + rows, left : left + columns], quarter_turns)
        return out


def scaled_frames(
    source: VideoReader, *, width_px: int, height_px: int, on_audio: AudioSink
) -> Iterator[TimedFrame]:
    """Every frame of an open file, scaled; see `VideoReader.frames` and `FrameScaler`."""
    scale = FrameScaler(
        width_px=width_px,
        height_px=height_px,
        pixel_aspect=Fraction(source.video.sample_aspect_ratio or 1),
    )
    for frame in source.frames(on_audio):
        assert frame.pts is not None, "frames without a time are refused"
        yield TimedFrame(pixels=scale(frame), time=frame.pts)


def _open(path: Path) -> InputContainer:
    try:
        return av.open(str(path))
    except av.FFmpegError as error:
        raise VideoFileError(
            f"{path} cannot be read, it is truncated, damaged or no video: {error.strerror}"
        ) from error


def _covering_size_px(
    width_px: int | Fraction, height_px: int, target_width_px: int, target_height_px: int
) -> tuple[int, int]:
    """The smallest even size of the same aspect that covers the target."""
    scale = max(target_width_px / Fraction(width_px), Fraction(target_height_px, height_px))
    wide, high = (-(-size * scale // 2) * 2 for size in (width_px, height_px))
    return int(wide), int(high)


def _end_s(packet: "av.Packet[av.stream.Stream]") -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)
