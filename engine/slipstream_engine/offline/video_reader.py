"""Reads video files: frames of one size in the order of their times, and checks for damage.

H height, W width.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
from av.container import InputContainer
from av.stream import Disposition
from slipstream_protocol.colours import HdrTransfer
from slipstream_protocol.frames import I420

from slipstream_engine.offline.damage import Damage, DamageCount
from slipstream_engine.offline.deinterlacer import Deinterlacer, PlacedFrame
from slipstream_engine.offline.file_end import has_no_times, has_own_clock, header_end_s
from slipstream_engine.offline.frame_scaler import FrameScaler
from slipstream_engine.offline.frame_times import Clock, FilmTimes, TrackClock
from slipstream_engine.offline.tracks import Track, TrackKind, choose_tracks

AudioSink = Callable[["av.Packet[av.AudioStream]"], None]

MISSING_S = 1.0  # a file may end so much earlier than its header says
DEFAULT_RATE_HZ = Fraction(25)  # of a bare stream that does not say its own
_MAX_UNREADABLE = 100  # packets in a row, before the rest is given up
_DAMAGED = "is truncated or damaged after frame {number}, make it anew"
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


class VideoFileError(ValueError):
    """A video file that cannot be used; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What decoding a whole file has shown.

    Args:
        time_base: seconds to a unit of the frames' times.
        rate_hz: mean number of frames a second.
        notes: what is left out, changed or damaged, a line each.
    """

    path: Path
    frames: int
    time_base: Fraction
    rate_hz: Fraction
    notes: tuple[str, ...] = ()


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
    """An open video file: the pictures of its film, and all sound that a decoder knows.

    Args:
        strict: refuse a file with any damage, in place of going on without what is damaged.

    Raises:
        VideoFileError: if there is no such file, or it cannot be read.
    """

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        if not path.is_file():
            raise VideoFileError(f"there is no file at {path}, name a video file")
        self.path = path
        self.damage = DamageCount()
        self._strict = strict
        self._container = _open(path)
        streams = self._container.streams
        choice = choose_tracks([_track_of(stream) for stream in streams])
        if choice.video is None:
            self._container.close()
            raise VideoFileError(f"{path} {choice.refusal}")
        self.video = cast("av.VideoStream", streams[choice.video])
        self.audio = tuple(cast("av.AudioStream", streams[index]) for index in choice.audio)
        self.notes = choice.notes
        self._number = 0  # of the frame that comes next

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

    @property
    def time_base(self) -> Fraction:
        return self.video.time_base or 1 / DEFAULT_RATE_HZ

    @property
    def rate_hz(self) -> Fraction:
        """Frames a second, by the file's times; by what a bare stream names where it has none."""
        named, counted = self.video.codec_context.framerate, self.video.average_rate
        rates = (named, counted) if has_no_times(self._container) else (counted, named)
        return next((rate for rate in rates if rate), DEFAULT_RATE_HZ)

    def frames(self, on_audio: AudioSink) -> Iterator[PlacedFrame]:
        """Decode every frame; audio packets between them go to `on_audio`.

        Raises:
            VideoFileError: at the end of a truncated file; at any damage, where that is strict.
        """
        clock = Clock(self._begin_s(), may_leap=has_own_clock(self._container))
        sounds = {
            stream.index: TrackClock(clock, stream.time_base or self.time_base)
            for stream in self.audio
        }
        times = FilmTimes(
            TrackClock(clock, self.time_base),
            step_units=1 / (self.rate_hz * self.time_base),
            by_order=self._container.format.name == "avi",
        )
        self._number, end_s, film_end_s = 0, 0.0, 0.0
        for packet in self._packets():
            index = packet.stream.index
            end_s = max(end_s, _end_s(packet))
            if packet.is_corrupt and (index == self.video.index or index in sounds):
                kind = Damage.SOUND if index in sounds else Damage.PACKET
                self._damaged(kind, _DAMAGED)
                if kind is Damage.SOUND:
                    continue
            if index in sounds:
                if self._place(packet, sounds[index]):
                    on_audio(cast("av.Packet[av.AudioStream]", packet))
            elif index == self.video.index:
                film_end_s = max(film_end_s, _end_s(packet))
                yield from self._decode(packet, times)
        self._check_end(end_s, film_end_s)

    def _packets(self) -> Iterator["av.Packet[av.stream.Stream]"]:
        """Every packet of every track, whatever its kind; its end tells where the file ends."""
        unreadable = 0
        while True:
            try:
                for packet in self._container.demux():
                    unreadable = 0
                    yield packet
                return
            except av.FFmpegError as error:
                self._damaged(Damage.PACKET, f"{_DAMAGED}: {error.strerror}")
                unreadable += 1
                if unreadable == _MAX_UNREADABLE:
                    return

    def _decode(
        self, packet: "av.Packet[av.stream.Stream]", times: FilmTimes
    ) -> Iterator[PlacedFrame]:
        if packet.size:
            times.packet(packet.dts)
        try:
            decoded = self.video.decode(cast("av.Packet[av.VideoStream]", packet))
        except av.FFmpegError as error:
            times.lost(packet.dts)
            self._damaged(Damage.PACKET, f"{_DAMAGED}: {error.strerror}")
            return
        for frame in decoded:
            if frame.is_corrupt:
                self._damaged(Damage.FRAME, "is damaged at frame {number}, make the file anew")
            time = times.frame(frame.pts)
            if time is None:
                self._damaged(
                    Damage.TIME,
                    f"has frame {{number}} at {frame.time or 0:.3f} s, "
                    "not after the frame before it, make the file anew",
                )
                continue
            self._number += 1
            yield PlacedFrame(frame=frame, time=time)

    def _place(self, packet: "av.Packet[av.stream.Stream]", clock: TrackClock) -> bool:
        """Put a packet of sound on the common time line; whether it can be kept."""
        if packet.dts is None:  # the last, empty one marks the end
            return False
        before = clock.last
        placed = clock.place(packet.dts, step=packet.duration or 1)
        if before is not None and placed <= before:
            self._damaged(Damage.SOUND, "has sound out of order after frame {number}, make it anew")
            return False
        packet.pts = placed + ((packet.pts if packet.pts is not None else packet.dts) - packet.dts)
        packet.dts = placed
        return True

    def _damaged(self, kind: Damage, text: str) -> None:
        if self._strict:
            raise VideoFileError(f"{self.path} {text.format(number=self._number)}")
        self.damage.note(kind, frame=self._number)

    def _begin_s(self) -> Fraction:
        """A broadcast's clock starts at any time of day; a film of it starts at 0."""
        if has_own_clock(self._container):
            return Fraction(self._container.start_time or 0, av.time_base)
        return Fraction(0)

    def _check_end(self, end_s: float, film_end_s: float) -> None:
        """Find truncation: demuxers take the end of a truncated file for the end of the video."""
        container = self._container
        index_end = max((e.pos + e.size for e in self.video.index_entries), default=0)
        if index_end > container.size:
            raise VideoFileError(
                f"{self.path} is truncated, it has {container.size} bytes of at least {index_end}"
            )
        film_header_s, header_s = header_end_s(container, self.video)
        if film_header_s is not None:
            end_s, header_s = film_end_s, film_header_s
        if end_s < header_s - MISSING_S:
            raise VideoFileError(
                f"{self.path} is truncated, it ends at {end_s:.1f} s of {header_s:.1f} s"
            )


def examine_video(path: Path, *, least_frames: int, strict: bool = False) -> VideoInfo:
    """Decode a whole file to check that it can be used.

    Raises:
        VideoFileError: if it cannot.
    """
    with VideoReader(path, strict=strict) as source:
        frames, changes = 0, dict[str, None]()
        for placed in source.frames(on_audio=lambda packet: None):
            frames += 1
            changes |= dict.fromkeys(_changes_of(placed.frame))
        damage = source.damage.summary()
        if frames < least_frames:
            raise VideoFileError(
                f"{path} has {frames} frames, it must have at least {least_frames}"
                + (f" ({damage})" if damage else "")
            )
        notes = [*source.notes, *changes]
        if damage:
            notes.append(f"{damage}; the rest is converted, --strict refuses such a file")
        return VideoInfo(
            path=path,
            frames=frames,
            time_base=source.time_base,
            rate_hz=source.rate_hz,
            notes=tuple(notes),
        )


def scaled_frames(
    source: VideoReader, *, width_px: int, height_px: int, on_audio: AudioSink
) -> Iterator[TimedFrame]:
    """Every frame of an open file, whole and scaled; see `VideoReader.frames`, `FrameScaler`."""
    scale = FrameScaler(
        width_px=width_px,
        height_px=height_px,
        pixel_aspect=Fraction(source.video.sample_aspect_ratio or 1),
    )
    deinterlacer = Deinterlacer()
    for placed in source.frames(on_audio):
        for whole in deinterlacer.push(placed):
            yield TimedFrame(pixels=scale(whole.frame), time=whole.time)
    for whole in deinterlacer.flush():
        yield TimedFrame(pixels=scale(whole.frame), time=whole.time)


def _changes_of(frame: av.VideoFrame) -> Iterator[str]:
    if frame.interlaced_frame:
        yield "its frames are interlaced, whole ones are made of them"
    with suppress(ValueError):
        name = HdrTransfer(int(frame.color_trc)).name
        yield f"its high dynamic range ({name}) is mapped to a screen's"


def _open(path: Path) -> InputContainer:
    try:
        return av.open(str(path))
    except av.FFmpegError as error:
        raise VideoFileError(
            f"{path} cannot be read, it is truncated, damaged or no video: {error.strerror}"
        ) from error


def _track_of(stream: av.stream.Stream) -> Track:
    context = stream.codec_context
    kind = TrackKind(stream.type) if stream.type in ("video", "audio") else TrackKind.OTHER
    pixels = context.width * context.height if isinstance(context, av.VideoCodecContext) else 0
    return Track(
        index=stream.index,
        kind=kind,
        codec=None if context is None else context.name,
        is_picture=bool(stream.disposition & _PICTURES),
        is_default=bool(stream.disposition & Disposition.default),
        pixels=pixels,
        frames=stream.frames,
    )


def _end_s(packet: "av.Packet[av.stream.Stream]") -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)
