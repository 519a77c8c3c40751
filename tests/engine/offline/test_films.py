"""offline/: films as phones, cameras, broadcasts and editors leave them."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from slipstream_engine.__main__ import main
from slipstream_engine.offline.video_reader import (
    TimedFrame,
    VideoReader,
    examine_video,
    scaled_frames,
)
from slipstream_protocol.frames import i420_planes

from tests.engine.video_files import even_times, times_of, write_video

WIDTH, HEIGHT = 64, 48
LEVEL_STEP = 4  # of grey, from one frame to the next


def write_film(
    path: Path,
    *,
    frames: int = 25,
    rate_hz: int = 25,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixels: Callable[[int], "np.ndarray"] | None = None,
    start: int = 0,
    more: Callable[[av.container.OutputContainer], Callable[[], None]] | None = None,
) -> Path:
    """A film whose frames are each a little brighter than the one before."""
    with av.open(str(path), "w") as container:
        finish = more(container) if more else lambda: None
        video = container.add_stream(codec, rate=rate_hz, options={"g": "10"} | (options or {}))
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            rows = pixels(number) if pixels else grey(number)
            frame = av.VideoFrame.from_ndarray(rows, "yuv420p")
            frame.pts, frame.time_base = start + number, Fraction(1, rate_hz)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        finish()
    return path


def grey(number: int) -> "np.ndarray":
    rows = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    rows[:HEIGHT] = 40 + LEVEL_STEP * number
    return rows


def read(path: Path, *, strict: bool = True) -> list[TimedFrame]:
    with VideoReader(path, strict=strict) as source:
        return list(
            scaled_frames(source, width_px=WIDTH, height_px=HEIGHT, on_audio=lambda packet: None)
        )


def seconds_of(path: Path, frames: list[TimedFrame]) -> list[Fraction]:
    with VideoReader(path) as source:
        return [frame.time * source.time_base for frame in frames]


def levels_of(frames: list[TimedFrame]) -> list[int]:
    """The number that `grey` has put into each frame."""
    lumas = (i420_planes(frame.pixels)[0].mean() for frame in frames)
    return [round((luma - 40) / LEVEL_STEP) for luma in lumas]


def v2v(source: Path, target: Path, *options: str) -> int:
    return main(["v2v", str(source), str(target), "--prompt", "neon", "--size", "64x48", *options])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("film.avi", "libx264"),
        ("film.h264", "libx264"),
        ("film.hevc", "libx265"),
        ("x.avi", "mpeg4"),
    ],
)
def test_files_without_times_of_showing(tmp_path: Path, name: str, codec: str) -> None:
    """B-frames in AVI and in bare streams are shown in their order, at the film's rate."""
    quiet = (
        {"x265-params": "log-level=error"}
        if codec == "libx265"
        else {"bf": "2", "qmin": "1", "qmax": "2"}
    )
    path = write_film(tmp_path / name, codec=codec, options=quiet)
    frames = read(path)
    assert levels_of(frames) == list(range(25))
    assert seconds_of(path, frames) == [Fraction(number, 25) for number in range(25)]


def test_a_bare_stream_says_its_rate(tmp_path: Path) -> None:
    """The rate that the stream itself names is taken, 25 only where it names none."""
    path = write_film(tmp_path / "film.h264", rate_hz=10)
    assert seconds_of(path, read(path))[-1] == pytest.approx(2.4, abs=0.001)


def test_a_broadcast_begins_at_zero_and_goes_on_after_a_cut(tmp_path: Path) -> None:
    """Times of day become times of the film; two recordings in one file are shown one by one."""
    first = write_film(tmp_path / "a.ts", start=25 * 3600)
    second = write_film(tmp_path / "b.ts", start=25 * 60)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    frames = read(joined, strict=False)
    at_s = seconds_of(joined, frames)
    assert levels_of(frames) == [*range(25), *range(25)]
    assert float(at_s[0]) == pytest.approx(0, abs=0.1)
    assert float(at_s[-1]) == pytest.approx(49 / 25, abs=0.1)


def test_a_cover_before_the_film(tmp_path: Path) -> None:
    """A track of one still picture, first in the file, is not the film."""

    def cover(container: av.container.OutputContainer) -> Callable[[], None]:
        still = container.add_stream("mjpeg", rate=1)
        assert isinstance(still, av.VideoStream)
        still.width, still.height, still.pix_fmt = 128, 128, "yuvj420p"

        def finish() -> None:
            frame = av.VideoFrame.from_ndarray(np.full((192, 128), 90, np.uint8), "yuvj420p")
            frame.pts, frame.time_base = 0, Fraction(1)
            container.mux(still.encode(frame))
            container.mux(still.encode())

        return finish

    path = write_film(tmp_path / "film.mp4", more=cover)
    with av.open(str(path)) as container:
        assert [s.codec_context.name for s in container.streams.video] == ["mjpeg", "h264"]
    assert levels_of(read(path)) == list(range(25))
    with av.open(str(path)) as container:
        assert not container.streams[0].disposition & Disposition.attached_pic


def test_sound_of_an_unknown_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other sound is kept, the unknown one is told, and the film is made."""
    path = write_video(tmp_path / "phone.mov", times=even_times(10), audio="aac")
    data = bytearray(path.read_bytes())
    entry = data.find(b"mp4a", data.rfind(b"stsd"))
    data[entry : entry + 4] = b"apac"
    place = data.find(b"esds", entry)
    data[place : place + 4] = b"xsds"
    path.write_bytes(data)
    assert v2v(path, tmp_path / "new.mp4") == 0
    assert "is left out, its kind is not known here" in capsys.readouterr().err
    assert len(times_of(tmp_path / "new.mp4")) == 10


def test_without_its_sound(tmp_path: Path) -> None:
    """`--no-audio` leaves the sound out, also one that could not be copied."""
    source = write_video(tmp_path / "video.mkv", times=even_times(9), audio="wavpack")
    assert v2v(source, tmp_path / "new.mp4", "--no-audio") == 0
    assert audio_of_if_any(tmp_path / "new.mp4") == 0


def audio_of_if_any(path: Path) -> int:
    with av.open(str(path)) as container:
        return len(container.streams.audio)


@pytest.mark.parametrize("end_s", [1, 9])
def test_a_subtitle_that_stands_longer(tmp_path: Path, end_s: int) -> None:
    """A track that is not shown may end when it likes."""
    text = f"1\n00:00:00,100 --> 00:00:0{end_s},000\nhello\n".encode()
    with av.open(io.BytesIO(text), "r", format="srt") as reader:
        words = reader.streams.subtitles[0]

        def subtitle(container: av.container.OutputContainer) -> Callable[[], None]:
            stream = container.add_stream_from_template(words)

            def finish() -> None:
                for packet in reader.demux(words):
                    if packet.dts is not None:
                        packet.stream = stream
                        container.mux(packet)

            return finish

        path = write_film(tmp_path / "film.mkv", more=subtitle)
    assert levels_of(read(path)) == list(range(25))


@pytest.mark.parametrize("name", ["film.ts", "film.mp4", "film.mkv"])
def test_a_damaged_packet(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The rest is converted with a warning that counts; `--strict` refuses; no sound is lost."""
    path = write_film(tmp_path / name, frames=50, pixels=pattern)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        found = [(p.size, p.pos or 0) for p in container.demux(video=0) if p.size]
    size, place = max(found[20:30])
    for at in range(place + size // 2, place + size // 2 + 20):
        data[at] ^= 0xFF
    path.write_bytes(data)
    assert v2v(path, tmp_path / "new.mp4") == 0
    said = capsys.readouterr().err
    assert "damaged" in said or "patched up" in said
    made = times_of(tmp_path / "new.mp4")
    assert len(made) >= 45 and float(made[-1]) > 1.9
    assert v2v(path, tmp_path / "strict.mp4", "--strict") == 1
    assert not (tmp_path / "strict.mp4").exists()
    assert "damaged" in capsys.readouterr().err


def test_telemetry_longer_than_the_film(tmp_path: Path) -> None:
    """A track of data of a kind that no decoder knows is passed over, wherever it ends."""

    def telemetry(container: av.container.OutputContainer) -> Callable[[], None]:
        stream = container.add_data_stream("klv")

        def finish() -> None:
            for second in range(9):
                packet = av.Packet(bytes(range(64)))
                packet.stream, packet.time_base = stream, Fraction(1)
                packet.pts = packet.dts = second
                container.mux(packet)

        return finish

    path = write_film(tmp_path / "drone.ts", more=telemetry)
    with av.open(str(path)) as container:
        assert {stream.type for stream in container.streams} == {"video", "data"}
    assert levels_of(read(path)) == list(range(25))


def pattern(number: int) -> "np.ndarray":
    rows = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    slope = np.arange(WIDTH) * 2 + np.arange(HEIGHT)[:, None] + 3 * number
    rows[:HEIGHT] = slope % 160 + 40
    return rows


def interlaced(number: int) -> "np.ndarray":
    """A bar that stands 8 columns further in the odd rows, as half a frame later."""
    rows = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    rows[:HEIGHT] = 40
    left = 4 + 8 * (number % 4)
    rows[0:HEIGHT:2, left : left + 8] = 220
    rows[1:HEIGHT:2, left + 4 : left + 12] = 220
    return rows


def test_interlaced_frames_are_made_whole(tmp_path: Path) -> None:
    """No comb is left, no frame is lost, times stay; it is told. Whole frames stay as they are."""
    combs = {}
    for name, options in (("whole", {}), ("rows", {"x264-params": "tff=1"})):
        options = options | {"qp": "4", "bf": "0"}
        path = write_film(tmp_path / f"{name}.mp4", options=options, pixels=interlaced)
        frames = read(path)
        assert seconds_of(path, frames) == [Fraction(number, 25) for number in range(25)]
        lumas = [i420_planes(frame.pixels)[0].astype(int) for frame in frames[2:-2]]
        combs[name] = np.mean([np.abs(y[1:-1] * 2 - y[:-2] - y[2:]).mean() for y in lumas])
        told = any("interlaced" in note for note in examine_video(path, least_frames=1).notes)
        assert told == (name == "rows")
    assert combs["rows"] < combs["whole"] / 4


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"RIFF\0\0\0\0AVI LIST", b"\x47" * 1880])
@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.avi", "film.h264", "film.mkv"])
def test_never_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    """Whatever a file holds, the answer is a line, and nothing is written."""
    path = tmp_path / name
    path.write_bytes(content)
    assert v2v(path, tmp_path / "new.mp4") == 1
    assert f"{path} cannot be converted: " in capsys.readouterr().err
    assert not (tmp_path / "new.mp4").exists()


def test_the_new_film_declares_its_colours(tmp_path: Path) -> None:
    """Matrix, primaries, transfer and range stand in the new file as the pixels are made."""
    path = write_film(tmp_path / "film.mp4", frames=5)
    assert v2v(path, tmp_path / "new.mp4") == 0
    with av.open(str(tmp_path / "new.mp4")) as container:
        frame = next(container.decode(video=0))
        declared = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        assert [int(value) for value in declared] == [6, 6, 6, 1]
