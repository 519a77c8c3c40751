"""offline/video_reader.py: every frame of a good file, and a reason for a bad one."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from slipstream_engine.offline.frame_scaler import FrameScaler
from slipstream_engine.offline.video_reader import (
    VideoFileError,
    VideoReader,
    examine_video,
    scaled_frames,
)
from slipstream_protocol.frames import I420, i420_planes

from tests.colours import PATCHES, WEIGHTS, distance, flat, samples_of
from tests.engine.video_files import TIME_BASE, even_times, times_of, write_video


def frames_of(path: Path, width_px: int, height_px: int) -> list[I420]:
    with VideoReader(path) as source:
        return [
            frame.pixels
            for frame in scaled_frames(
                source, width_px=width_px, height_px=height_px, on_audio=lambda packet: None
            )
        ]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", times=even_times(30), audio="aac")


def test_a_good_file(video: Path) -> None:
    """All frames are counted; time base and rate are the file's."""
    info = examine_video(video, least_frames=5)
    assert (info.frames, info.time_base, info.rate_hz) == (30, TIME_BASE, Fraction(25))


def test_times_are_the_files(tmp_path: Path) -> None:
    """Frames keep their own times, however uneven, from the first one on."""
    times = [700, 1212, 1300, 2900, 2901, 9000]
    path = write_video(tmp_path / "uneven.mp4", times=times)
    with VideoReader(path) as source:
        frames = scaled_frames(source, width_px=64, height_px=48, on_audio=lambda packet: None)
        assert [frame.time for frame in frames] == times


def test_the_centre_is_kept(tmp_path: Path) -> None:
    """A wide video in a square loses its sides, a tall one its top and bottom."""
    path = write_video(tmp_path / "wide.mp4", times=even_times(2), width_px=96, height_px=48)
    square = frames_of(path, 48, 48)[0]
    whole = frames_of(path, 96, 48)[0]
    assert np.array_equal(i420_planes(square)[0], i420_planes(whole)[0][:, 24:72])
    tall = frames_of(path, 96, 24)[0]
    assert np.array_equal(i420_planes(tall)[0], i420_planes(whole)[0][12:36])
    assert square.shape == (72, 48)


def test_a_turned_video_stands_upright(tmp_path: Path) -> None:
    """A telephone's video, stored on its side, is turned as players turn it."""
    lying = write_video(tmp_path / "lying.mp4", times=even_times(2))
    for degrees in (90, 180, 270):
        turned = write_video(tmp_path / f"{degrees}.mp4", times=even_times(2), turn_degrees=degrees)
        size_px = (48, 64) if degrees % 180 else (64, 48)
        luma = i420_planes(frames_of(turned, *size_px)[0])[0]
        with av.open(str(turned)) as container:
            rotation = next(container.decode(video=0)).rotation
        assert rotation % 360 in (degrees, 360 - degrees)
        expected = np.rot90(i420_planes(frames_of(lying, 64, 48)[0])[0], rotation // 90)
        assert np.array_equal(luma, expected)


def test_colours_become_bt601_limited() -> None:
    """Full range and BT.709 are converted to the colours the engine expects."""
    frame = av.VideoFrame.from_ndarray(np.full((24, 16, 3), 255, np.uint8), "rgb24")
    frame.to_ndarray()
    scale = FrameScaler(width_px=16, height_px=24, pixel_aspect=Fraction(1))
    assert i420_planes(scale(frame))[0].max() == 235
    full = av.VideoFrame.from_ndarray(np.full((36, 16), 255, np.uint8), "yuvj420p")
    full.color_range = 2
    assert i420_planes(scale(full))[0].max() == 235


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_declared_colours_are_those_of_the_engine(matrix: int, is_full: bool) -> None:
    """Whatever matrix and range a film declares, flat colours come out as BT.601, limited."""
    scale = FrameScaler(width_px=64, height_px=48, pixel_aspect=Fraction(1))
    for colour in PATCHES:
        frame = flat(samples_of(colour, matrix, is_full=is_full), width_px=128, height_px=96)
        frame.colorspace, frame.color_range = matrix, 2 if is_full else 1
        planes = i420_planes(scale(frame))
        found = tuple(round(plane.mean()) for plane in planes)
        assert distance(found, samples_of(colour, 5)) <= 1


@pytest.mark.parametrize("matrix", [0, 3, 8, 14])
def test_a_matrix_that_no_scaler_has_is_as_undeclared(matrix: int) -> None:
    """Reserved numbers, YCgCo and ICtCp end no conversion."""
    frame = flat(samples_of(PATCHES[0], 5), width_px=128, height_px=96)
    frame.colorspace = matrix
    scale = FrameScaler(width_px=64, height_px=48, pixel_aspect=Fraction(1))
    found = tuple(round(plane.mean()) for plane in i420_planes(scale(frame)))
    assert distance(found, samples_of(PATCHES[0], 5)) <= 1


def test_pixels_that_are_not_square() -> None:
    """A frame whose pixels are twice as wide as high is stretched before it is cropped."""
    columns = np.arange(16, 16 + 64, dtype=np.uint8)
    luma = np.broadcast_to(columns, (64, 64))
    chroma = np.full((32, 64), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "yuv420p")
    cut = i420_planes(FrameScaler(width_px=64, height_px=64, pixel_aspect=Fraction(2))(frame))[0]
    assert cut[0, 0] == pytest.approx(16 + 16, abs=1)
    assert cut[0, -1] == pytest.approx(16 + 47, abs=1)


def damaged(video: Path) -> Path:
    """The video with a stretch of its middle frames overwritten."""
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        entry = container.streams.video[0].index_entries[12]
    content[entry.pos + 20 : entry.pos + entry.size] = bytes(entry.size - 20)
    video.write_bytes(content)
    return video


def cut(video: Path, *, frames: int, spare_bytes: int = 0) -> Path:
    """The video up to the end of its first frames, in the order of the file."""
    with av.open(str(video)) as container:
        entry = container.streams.video[0].index_entries[frames - 1]
    video.write_bytes(video.read_bytes()[: entry.pos + entry.size + spare_bytes])
    return video


def refusal(path: Path, *, least_frames: int = 5, strict: bool = False) -> str:
    with pytest.raises(VideoFileError) as caught:
        examine_video(path, least_frames=least_frames, strict=strict)
    return str(caught.value).replace(str(path), "FILE")


def test_no_file(tmp_path: Path) -> None:
    """A path without a file is named."""
    assert refusal(tmp_path / "no.mp4") == "there is no file at FILE, name a video file"


def test_not_a_video(tmp_path: Path) -> None:
    """A file of something else cannot be read."""
    path = tmp_path / "text.mp4"
    path.write_text("not a video" * 1000)
    assert refusal(path).startswith(
        "FILE cannot be read, it is truncated, damaged or no video: Invalid data"
    )


def test_audio_alone(tmp_path: Path) -> None:
    """A file of audio alone holds no video."""
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=48_000)
        assert isinstance(tone, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        sound.sample_rate = 48_000
        container.mux(tone.encode(sound))
        container.mux(tone.encode())
    assert refusal(path) == "FILE holds no video, name a video file"


def test_too_short(video: Path) -> None:
    """A video shorter than a stream's first chunk is refused."""
    assert refusal(video, least_frames=31) == "FILE has 30 frames, it must have at least 31"


@pytest.mark.parametrize("spare_bytes", [0, 3])
def test_truncated(video: Path, spare_bytes: int) -> None:
    """A file cut off after a packet, or in one, is not taken for a shorter video."""
    reason = refusal(cut(video, frames=20, spare_bytes=spare_bytes))
    assert reason.startswith("FILE is truncated"), reason


def test_truncated_without_an_index(video: Path, tmp_path: Path) -> None:
    """A Matroska file that ends long before its header says so is not taken for a shorter video."""
    path = tmp_path / "video.mkv"
    long = write_video(tmp_path / "long.mp4", times=even_times(100))
    with av.open(str(long)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert len(times_of(path)) == 100
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "FILE is truncated, it ends at " in refusal(path)


def test_damaged(video: Path) -> None:
    """A damaged packet is told and passed over; where that is asked for, the file is refused."""
    info = examine_video(damaged(video), least_frames=5)
    assert 25 <= info.frames <= 30
    assert "damaged" in info.notes[-1] or "patched up" in info.notes[-1]
    assert "--strict" in info.notes[-1]
    assert "damaged" in refusal(video, strict=True)
