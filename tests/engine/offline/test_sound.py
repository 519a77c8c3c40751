"""Sound that the new film's container cannot hold is converted, and said to be."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from slipstream_engine.__main__ import main
from slipstream_engine.offline.v2v import transform_video
from slipstream_engine.offline.video_reader import VideoReader, examine_video
from slipstream_engine.offline.video_writer import VideoWriter, container_format
from slipstream_protocol.frames import I420, Geometry

from tests.engine.video_files import audio_of, even_times, times_of, write_video

TONE_HZ = 440
GEOMETRY = Geometry(width_px=64, height_px=48, first_chunk_frames=5, chunk_frames=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The sound of a file: how long it is, and its loudest frequency."""

    codec: str
    rate_hz: int
    seconds: float
    tone_hz: float


def heard(path: Path) -> Heard:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate_hz = stream.codec_context.sample_rate
        to_mono = av.AudioResampler(format="flt", layout="mono")
        blocks = [
            whole.to_ndarray()[0]
            for frame in container.decode(stream)
            for whole in to_mono.resample(frame)
        ]
        samples = np.concatenate(blocks)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        return Heard(
            codec=stream.codec_context.name,
            rate_hz=rate_hz,
            seconds=len(samples) / rate_hz,
            tone_hz=float(np.argmax(spectrum)) * rate_hz / len(samples),
        )


class Mirror:
    """A stream whose new frames are the old ones."""

    def step(self, frames_THW: I420, out_THW: I420) -> None:
        out_THW[:] = frames_THW


def convert(source: Path, target: Path) -> list[str]:
    """As `v2v` does it, without a model; returns what is said of it."""
    video = examine_video(source, least_frames=1)
    with (
        target.open("wb") as file,
        VideoReader(source) as reader,
        VideoWriter(
            file,
            format=container_format(target),
            source=video,
            geometry=GEOMETRY,
            audio=reader.audio,
        ) as writer,
    ):
        transform_video(reader, writer, Mirror(), GEOMETRY, on_chunk=lambda frames: None)
    return writer.notes()


@pytest.mark.parametrize(
    ("name", "target", "codec", "rate_hz", "new_hz"),
    [
        ("film.mkv", "new.mp4", "wavpack", 48_000, 48_000),
        ("odd.mkv", "new.mp4", "wavpack", 37_800, 48_000),  # AAC has no such rate
        ("old.mov", "new.mp4", "pcm_u8", 22_050, 22_050),
        ("lossless.mkv", "new.mov", "flac", 48_000, 48_000),
    ],
)
def test_it_is_converted_to_aac(
    name: str,
    target: str,
    codec: str,
    rate_hz: int,
    new_hz: int,
    tmp_path: Path,
) -> None:
    """A line says so; it is as long and sounds as it did, and no frame is moved."""
    source = write_video(tmp_path / name, times=even_times(13), audio=codec, audio_hz=rate_hz)
    new = tmp_path / target
    kind = new.suffix[1:]
    assert convert(source, new) == [
        f"sound track 1 ({codec}) is converted to AAC, {kind} cannot hold it"
    ]
    assert times_of(new) == times_of(source)
    found = heard(new)
    assert (found.codec, found.rate_hz) == ("aac", new_hz)
    assert abs(found.seconds - heard(source).seconds) < 0.06
    assert abs(found.tone_hz - TONE_HZ) < 8


def test_what_it_can_hold_is_copied(tmp_path: Path) -> None:
    """The same bytes at the same times."""
    source = write_video(tmp_path / "film.mkv", times=even_times(9), audio="flac")
    assert convert(source, tmp_path / "new.mp4") == []
    assert [data for _, data in audio_of(tmp_path / "new.mp4")] == [
        data for _, data in audio_of(source)
    ]


def test_what_cannot_be_decoded_is_left_out_and_counted(tmp_path: Path) -> None:
    source = write_video(tmp_path / "film.mkv", times=even_times(25), audio="flac")
    packets = audio_of(source)
    data = bytearray(source.read_bytes())
    place = data.find(packets[len(packets) // 2][1])
    data[place : place + 24] = bytes(24)
    source.write_bytes(data)
    _, note = convert(source, tmp_path / "new.mov")
    assert note == "1 packets of sound track 1 cannot be decoded and are left out"
    assert heard(tmp_path / "new.mov").seconds > 0.8


def test_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_video(tmp_path / "film.mkv", times=even_times(5), audio="wavpack")
    command = ["v2v", str(source), str(tmp_path / "new.mp4"), "--prompt", "neon"]
    assert main([*command, "--size", "64x48"]) == 0
    assert f"{source}: sound track 1 (wavpack) is converted to AAC" in capsys.readouterr().err
