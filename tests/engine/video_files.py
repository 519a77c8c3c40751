"""Writes small video files: numbered frames at any times, with or without a tone."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TIME_BASE = Fraction(1, 12800)
FRAME_UNITS = 512  # 25 a second
AUDIO_HZ = 48_000


def write_video(
    path: Path,
    *,
    times: Sequence[int],
    width_px: int = 64,
    height_px: int = 48,
    audio: str | None = None,
    audio_hz: int = AUDIO_HZ,
    turn_degrees: int = 0,
) -> Path:
    """Write a video whose frame at times[k] shows a bar at column k.

    Args:
        times: in units of 1 / 12800 s.
        audio: an encoder to write a tone with.
        turn_degrees: rotation that players apply.
    """
    options = {"movflags": "faststart", "movie_timescale": str(TIME_BASE.denominator)}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "10", "g": "12"})
        assert isinstance(video, av.VideoStream)
        context = video.codec_context
        context.width, context.height = width_px, height_px
        context.pix_fmt, context.time_base = "yuv420p", TIME_BASE
        if turn_degrees:
            video.set_display_rotation(turn_degrees)
        if audio is not None:
            tone = container.add_stream(audio, rate=audio_hz)
            assert isinstance(tone, av.AudioStream)
            for sound in _tone(seconds=times[-1] * float(TIME_BASE), rate_hz=audio_hz):
                container.mux(tone.encode(sound))
            container.mux(tone.encode())
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(_pixels(number, width_px, height_px), "yuv420p")
            frame.pts, frame.time_base = time, TIME_BASE
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def even_times(frames: int) -> list[int]:
    return [FRAME_UNITS * number for number in range(frames)]


def times_of(path: Path) -> list[Fraction]:
    """The time of each frame, in seconds."""
    with av.open(str(path)) as container:
        return [_time(frame) for frame in container.decode(video=0)]


def audio_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """Every audio packet and its time."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(audio=0)
            if packet.pts is not None and packet.time_base is not None
        ]


def _time(frame: av.VideoFrame) -> Fraction:
    assert frame.pts is not None and frame.time_base is not None
    return frame.pts * frame.time_base


def _pixels(
    number: int, width_px: int, height_px: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    pixels = np.full((height_px * 3 // 2, width_px), 128, np.uint8)
    pixels[:height_px] = np.linspace(40, 200, height_px, dtype=np.uint8)[:, None]
    pixels[:height_px, number % (width_px - 4) :][:, :4] = 235
    return pixels


def _tone(*, seconds: float, rate_hz: int) -> Iterable[av.AudioFrame]:
    samples = np.arange(max(1024, round(seconds * rate_hz)))
    wave = (8000 * np.sin(2 * np.pi * 440 * samples / rate_hz)).astype(np.int16)
    for start in range(0, len(wave), 1024):
        sound = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "s16", "mono")
        sound.sample_rate, sound.pts, sound.time_base = rate_hz, start, Fraction(1, rate_hz)
        yield sound
