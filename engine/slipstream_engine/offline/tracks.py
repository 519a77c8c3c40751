"""Which tracks of a file are its film: one of pictures, those of sound that can be kept. Pure.

Files of phones, cameras and shops hold more: covers, thumbnails, subtitles, chapters, telemetry,
and sound of kinds that no decoder knows. Those are no reason to refuse the film.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class TrackKind(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"
    OTHER = "other"  # subtitles, chapters, telemetry, attachments


# codecs of still pictures; a track of one picture in one of these is a cover though nothing says so
_STILL_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "tiff", "webp", "jpeg2000", "ppm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What a container says of one of its tracks.

    Args:
        index: in the file.
        codec: name of the decoder; None where there is none for this kind.
        is_picture: the file calls it an attached picture or a thumbnail.
        is_default: the file says that players show it.
        pixels: of a frame; 0 where it is not known.
        frames: in the track; 0 where it is not known.
    """

    index: int
    kind: TrackKind
    codec: str | None
    is_picture: bool = False
    is_default: bool = False
    pixels: int = 0
    frames: int = 0

    @property
    def is_cover(self) -> bool:
        """Whether it is a still picture beside the film."""
        return self.is_picture or (self.frames == 1 and self.codec in _STILL_CODECS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackChoice:
    """What is read of a file.

    Args:
        video: index of the film's pictures; None where `refusal` says why there are none.
        audio: indices of the sound that is kept.
        notes: what is left out and why, a line each.
    """

    video: int | None
    audio: tuple[int, ...]
    notes: tuple[str, ...] = ()
    refusal: str = ""


def choose_tracks(tracks: Sequence[Track]) -> TrackChoice:
    """Choose the film's pictures (the default track, then the largest) and all known sound."""
    videos = [track for track in tracks if track.kind is TrackKind.VIDEO]
    films = [track for track in videos if not track.is_cover]
    known = [track for track in films if track.codec is not None]
    sounds = [track for track in tracks if track.kind is TrackKind.AUDIO]
    notes = [
        f"sound track {track.index} is left out, its kind is not known here"
        for track in sounds
        if track.codec is None
    ]
    if not known:
        return TrackChoice(video=None, audio=(), refusal=_refusal(videos, films))
    best = max(known, key=lambda track: (track.is_default, track.pixels, -track.index))
    notes += [
        f"video track {track.index} is left out, track {best.index} is the film"
        for track in films
        if track is not best
    ]
    return TrackChoice(
        video=best.index,
        audio=tuple(track.index for track in sounds if track.codec is not None),
        notes=tuple(notes),
    )


def _refusal(videos: Sequence[Track], films: Sequence[Track]) -> str:
    if not videos:
        return "holds no video, name a video file"
    if not films:
        return "holds a still picture and no film, name a video file"
    return "holds video of a kind that is not known here, convert it to H.264 first"
