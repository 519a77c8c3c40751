"""offline/video_reader.py: every frame of a good file, and a reason for a bad one."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from slipstream_engine.offline.video_reader import (
    ClipError,
    PictureScaler,
    VideoReader,
    examine_video,
    pictures,
)
from slipstream_protocol.frames import I420, i420_planes

from tests.engine.films import TIME_BASE, even_times, times_of, write_film


def shown(path: Path, width_px: int, height_px: int) -> list[I420]:
    with VideoReader(path) as source:
        return [
            picture.pixels
            for picture in pictures(
                source, width_px=width_px, height_px=height_px, on_audio=lambda packet: None
            )
        ]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", times=even_times(30), audio="aac")


def test_a_good_file(film: Path) -> None:
    """All frames are counted; time base and rate are the file's."""
    clip = examine_video(film, least_frames=5)
    assert (clip.frames, clip.time_base, clip.rate_hz) == (30, TIME_BASE, Fraction(25))


def test_times_are_the_files(tmp_path: Path) -> None:
    """Frames keep their own times, however uneven, from the first one on."""
    times = [700, 1212, 1300, 2900, 2901, 9000]
    path = write_film(tmp_path / "uneven.mp4", times=times)
    with VideoReader(path) as source:
        frames = pictures(source, width_px=64, height_px=48, on_audio=lambda packet: None)
        assert [picture.time for picture in frames] == times


def test_the_middle_is_kept(tmp_path: Path) -> None:
    """A wide film in a square loses its sides, a tall one its top and bottom."""
    path = write_film(tmp_path / "wide.mp4", times=even_times(2), width_px=96, height_px=48)
    square = shown(path, 48, 48)[0]
    whole = shown(path, 96, 48)[0]
    assert np.array_equal(i420_planes(square)[0], i420_planes(whole)[0][:, 24:72])
    tall = shown(path, 96, 24)[0]
    assert np.array_equal(i420_planes(tall)[0], i420_planes(whole)[0][12:36])
    assert square.shape == (72, 48)


def test_a_turned_film_stands_upright(tmp_path: Path) -> None:
    """A telephone's film, stored on its side, is turned as players turn it."""
    lying = write_film(tmp_path / "lying.mp4", times=even_times(2))
    for degrees in (90, 180, 270):
        turned = write_film(tmp_path / f"{degrees}.mp4", times=even_times(2), turn_degrees=degrees)
        size_px = (48, 64) if degrees % 180 else (64, 48)
        luma = i420_planes(shown(turned, *size_px)[0])[0]
        with av.open(str(turned)) as container:
            rotation = next(container.decode(video=0)).rotation
        assert rotation % 360 in (degrees, 360 - degrees)
        wanted = np.rot90(i420_planes(shown(lying, 64, 48)[0])[0], rotation // 90)
        assert np.array_equal(luma, wanted)


def test_colours_become_bt601_limited() -> None:
    """Full range and BT.709 are converted to what the engine takes pictures for."""
    frame = av.VideoFrame.from_ndarray(np.full((24, 16, 3), 255, np.uint8), "rgb24")
    frame.to_ndarray()
    scale = PictureScaler(width_px=16, height_px=24, pixel_aspect=Fraction(1))
    assert i420_planes(scale(frame))[0].max() == 235
    full = av.VideoFrame.from_ndarray(np.full((36, 16), 255, np.uint8), "yuvj420p")
    full.color_range = 2
    assert i420_planes(scale(full))[0].max() == 235


def test_pixels_that_are_not_square() -> None:
    """A picture whose pixels are twice as wide as high is stretched before it is cut."""
    columns = np.arange(16, 16 + 64, dtype=np.uint8)
    luma = np.broadcast_to(columns, (64, 64))
    chroma = np.full((32, 64), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "yuv420p")
    cut = i420_planes(PictureScaler(width_px=64, height_px=64, pixel_aspect=Fraction(2))(frame))[0]
    assert cut[0, 0] == pytest.approx(16 + 16, abs=1)
    assert cut[0, -1] == pytest.approx(16 + 47, abs=1)


def damaged(film: Path) -> Path:
    """The film with a stretch of its middle frames overwritten."""
    content = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        entry = container.streams.video[0].index_entries[12]
    content[entry.pos + 20 : entry.pos + entry.size] = bytes(entry.size - 20)
    film.write_bytes(content)
    return film


def cut(film: Path, *, frames: int, spare_bytes: int = 0) -> Path:
    """The film up to the end of its first frames, in the order of the file."""
    with av.open(str(film)) as container:
        entry = container.streams.video[0].index_entries[frames - 1]
    film.write_bytes(film.read_bytes()[: entry.pos + entry.size + spare_bytes])
    return film


def refusal(path: Path, *, least_frames: int = 5) -> str:
    with pytest.raises(ClipError) as caught:
        examine_video(path, least_frames=least_frames)
    return str(caught.value).replace(str(path), "FILE")


def test_no_file(tmp_path: Path) -> None:
    """A name that leads nowhere is said to."""
    assert refusal(tmp_path / "no.mp4") == "there is no file at FILE, name a video file"


def test_no_film(tmp_path: Path) -> None:
    """A file of something else is none that can be read."""
    path = tmp_path / "text.mp4"
    path.write_text("not a film" * 1000)
    assert refusal(path).startswith(
        "FILE cannot be read, it is truncated, damaged or no video: Invalid data"
    )


def test_no_pictures(tmp_path: Path) -> None:
    """A file of sound alone holds no video."""
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=48_000)
        assert isinstance(tone, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        sound.sample_rate = 48_000
        container.mux(tone.encode(sound))
        container.mux(tone.encode())
    assert refusal(path) == "FILE holds no video, name a video file"


def test_too_short(film: Path) -> None:
    """A film shorter than a stream's first chunk is refused."""
    assert refusal(film, least_frames=31) == "FILE has 30 frames, it must have at least 31"


@pytest.mark.parametrize("spare_bytes", [0, 3])
def test_truncated(film: Path, spare_bytes: int) -> None:
    """A file cut off after a packet, or in one, is not taken for a shorter film."""
    said = refusal(cut(film, frames=20, spare_bytes=spare_bytes))
    assert said.startswith("FILE is truncated"), said


def test_truncated_without_an_index(film: Path, tmp_path: Path) -> None:
    """A Matroska file that ends long before its header says so is not taken for a shorter film."""
    path = tmp_path / "film.mkv"
    long = write_film(tmp_path / "long.mp4", times=even_times(100))
    with av.open(str(long)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert len(times_of(path)) == 100
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "FILE is truncated, it ends at " in refusal(path)


def test_damaged(film: Path) -> None:
    """A frame that the decoder could only patch up is not made into a new film."""
    assert "damaged" in refusal(damaged(film))
