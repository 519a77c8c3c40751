"""offline/v2v.py, offline/video_writer.py: a whole film through the pipeline, its times and sound
kept, or nothing.
"""

import gc
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from slipstream_engine.__main__ import main
from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import ModelBundle
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.offline.v2v import chunked, transform
from slipstream_engine.offline.video_reader import (
    TimedPicture,
    VideoReader,
    examine_video,
    pictures,
)
from slipstream_engine.offline.video_writer import VideoWriter
from slipstream_engine.weights import embedded, factory
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters

from tests.e2e.clips import shipped_clip
from tests.engine.films import TIME_BASE, audio_of, even_times, times_of, write_film
from tests.engine.toys import toy_pipeline

GEOMETRY = Geometry(width_px=2, height_px=2, first_chunk_frames=5, chunk_frames=4)


def v2v(source: Path, target: Path, *options: str) -> int:
    return main(["v2v", str(source), str(target), "--prompt", "neon", "--size", "64x48", *options])


BIG_ENOUGH = ("--size", "128x96")  # below that x264's choice of block types wavers


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", times=even_times(23), audio="aac")


@given(st.integers(1, 40))
def test_a_film_in_chunks(count: int) -> None:
    """Five frames, then four at a time; none is lost, and the last one fills what is left."""
    film = [TimedPicture(pixels=np.full((3, 2), k, np.uint8), time=10 * k) for k in range(count)]
    chunks = list(chunked(film, GEOMETRY))
    assert [len(chunk.frames_THW) for chunk in chunks] == [5, *[4] * (len(chunks) - 1)]
    assert [time for chunk in chunks for time in chunk.times] == [p.time for p in film]
    shown = [int(frame[0, 0]) for chunk in chunks for frame in chunk.frames_THW]
    assert shown == [*range(count), *[count - 1] * (len(shown) - count)]


def test_a_real_film_with_sound(tmp_path: Path) -> None:
    """Every frame of a filmed clip has its successor at the same time; the sound is the same."""
    clip, target = shipped_clip("bigbuckbunny.mp4"), tmp_path / "new.mp4"
    assert v2v(clip, target) == 0
    assert times_of(target) == times_of(clip)
    assert len(times_of(target)) == 132
    assert audio_of(target) == audio_of(clip)
    assert [path.name for path in tmp_path.iterdir()] == ["new.mp4"]


@pytest.mark.parametrize("name", ["new.mp4", "new.MOV"])
def test_uneven_times(tmp_path: Path, name: str) -> None:
    """Times need not be even nor begin at zero, nor be of a rate that anything divides."""
    times = [37, 700, 701, 1500, 1900, 2222, 9001, 9002, 9003, 9500, 30011]
    source = write_film(tmp_path / "uneven.mp4", times=times, audio="aac")
    target = tmp_path / name
    assert v2v(source, target) == 0
    assert times_of(target) == [time * TIME_BASE for time in times]
    assert audio_of(target) == audio_of(source)


def test_ntsc_times(tmp_path: Path) -> None:
    """30000 / 1001 frames a second stay that."""
    clip, target = shipped_clip("carphone_pristine.mp4"), tmp_path / "new.mp4"
    assert v2v(clip, target) == 0
    assert times_of(target) == [Fraction(1001 * k, 30000) for k in range(120)]


def test_the_same_request_makes_the_same_film(film: Path, tmp_path: Path) -> None:
    """Prompt, seed and strength decide the film, and nothing else does."""
    made = []
    for name, options in (
        ("a.mp4", ("--seed", "3")),
        ("b.mp4", ("--seed", "3")),
        ("c.mp4", ("--seed", "4")),
        ("d.mp4", ("--seed", "3", "--noise-scale", "0.3")),
        ("e.mp4", ("--seed", "3", "--steps", "2")),
    ):
        assert v2v(film, tmp_path / name, *BIG_ENOUGH, *options) == 0
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert len(set(made)) == 4


class Sink:
    """A film that is only remembered."""

    def __init__(self) -> None:
        self.pictures: list[TimedPicture] = []
        self.packets = 0

    def write(self, picture: TimedPicture) -> None:
        self.pictures.append(picture)

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None:
        self.packets += 1


def test_a_film_is_its_stream(film: Path) -> None:
    """What is written is what the pipeline makes of the film's chunks, in order."""
    pipeline, sink = toy_pipeline(), Sink()
    told: list[int] = []
    with VideoReader(film) as source:
        transform(source, sink, pipeline.open(Parameters()), pipeline.geometry, told.append)
    with VideoReader(film) as source:
        taken = pictures(source, width_px=32, height_px=32, on_audio=lambda packet: None)
        frames = [picture.pixels for picture in taken]
    frames += [frames[-1]] * 2
    stream, made = pipeline.open(Parameters()), []
    for start, stop in pairwise((0, 5, 9, 13, 17, 21, 25)):
        out_THW = np.empty((stop - start, *pipeline.geometry.frame_shape), np.uint8)
        stream.step(np.stack(frames[start:stop]), out_THW)
        made += list(out_THW)
    assert told == [5, 9, 13, 17, 21, 23]
    assert [picture.time for picture in sink.pictures] == even_times(23)
    assert np.array_equal(np.stack([p.pixels for p in sink.pictures]), np.stack(made[:23]))
    assert sink.packets == len(audio_of(film))


def test_memory_is_flat(tmp_path: Path) -> None:
    """A film of five hundred chunks takes no more memory than one of a hundred."""
    long = write_film(tmp_path / "long.mp4", times=even_times(2001))
    pipeline = toy_pipeline()
    process, resident_bytes = psutil.Process(), list[int]()

    def measure(frames: int) -> None:
        if frames % 400 == 1:
            gc.collect()
            resident_bytes.append(process.memory_info().rss)

    clip = examine_video(long, least_frames=5)
    geometry = pipeline.geometry
    with (
        VideoReader(long) as source,
        (tmp_path / "new.mp4").open("wb") as file,
        VideoWriter(file, format="mp4", clip=clip, geometry=geometry, audio=source.audio) as film,
    ):
        transform(source, film, pipeline.open(Parameters()), geometry, measure)
    assert len(resident_bytes) == 5
    assert resident_bytes[-1] - resident_bytes[0] < 8 * 2**20


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_nothing(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Whatever ends the work half-way, no part of a film is left, and an older one stays."""
    target = tmp_path / "new.mp4"
    target.write_bytes(b"older")
    step = DiffusionStream.step

    def fail(self: DiffusionStream[TaehvState], frames: I420, out: I420) -> StageTimes:
        if self.state.chunk == 3:
            raise error
        return step(self, frames, out)

    monkeypatch.setattr(DiffusionStream, "step", fail)
    with pytest.raises(type(error)):
        v2v(film, target)
    assert target.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "new.mp4"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """A request to stop, in the middle of a film, ends the process and takes what it had made."""
    film = write_film(tmp_path / "film.mp4", times=even_times(600))
    command = [sys.executable, "-m", "slipstream_engine", "v2v", str(film)]
    command += [str(tmp_path / "new.mp4"), "--prompt", "neon", "--size", "64x48"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("600 frames" in line for line in process.stderr)
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(number)
        process.stderr.read()
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_compared_with_a_reference(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--compare` prints what the new film is worth beside another one of as many frames."""
    assert v2v(film, tmp_path / "new.mp4", "--compare", str(film)) == 0
    names = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["frames", "PSNR", "SSIM", "warp error", "flicker", "flicker, energy"]


def said(capsys: pytest.CaptureFixture[str], source: Path, target: Path, *options: str) -> str:
    """Why a film was refused; nothing was written then, and no chunk was made."""
    before = sorted(target.parent.iterdir()) if target.parent.is_dir() else []
    assert v2v(source, target, *options) == 1
    captured = capsys.readouterr()
    assert "a second" not in captured.err, "there was progress"
    if before:
        assert sorted(target.parent.iterdir()) == before
    return captured.err.strip().removeprefix(f"{source} cannot be converted: ")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ("--size", "60x44"),
            "height is 44 px, it must be a multiple of 8 for preset tiny, like 40 or 48",
        ),
        (
            ("--size", "72x50", "--preset", "wan-1.3b"),
            "height is 50 px, it must be a multiple of 16 for preset wan-1.3b, like 48 or 64",
        ),
        (("--steps", "5"), "steps is 5, preset tiny takes 1 to 4"),
        (("--noise-scale", "0.7"), "noise_scale is 0.7, this model takes 0.03 to 0.3"),
        (("--noise-scale", "7"), "Expected `float` <= 1.0 - at `$.noise_scale`"),
        (("--seed", "-1"), "Expected `int` >= 0 - at `$.seed`"),
        (("--codec", "wan"), "codec is 'wan', preset tiny has only its own; name no codec"),
        (
            ("--device", "toaster"),
            "device is 'toaster', it must be one of torch's, like cpu or cuda:0",
        ),
        (
            ("--preset", "wan-1.3b", "--codec", "vq"),
            "codec is 'vq', it must be wan or taehv, or an encoder and a decoder like wan+taehv",
        ),
        (
            ("--preset", "huge"),
            "preset is 'huge', it must be one of tiny, wan-1.3b, wan-1.3b-fast, wan-14b",
        ),
    ],
)
def test_impossible_wishes(
    film: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    reason: str,
) -> None:
    """Each is answered with the value, the rule and the choice."""
    assert said(capsys, film, tmp_path / "new.mp4", *options) == reason


def test_impossible_names(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that cannot be written, or is that of what is read, is refused."""
    avi = tmp_path / "new.avi"
    assert said(capsys, film, avi) == f"{avi} ends in '.avi', it must end in one of .mp4, .mov"
    assert said(capsys, film, film) == f"{film} is what is read, name another file to write"
    nowhere = tmp_path / "no" / "new.mp4"
    assert said(capsys, film, nowhere) == f"there is no folder {nowhere.parent}, make it first"
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    assert said(capsys, film, folder) == f"{folder} is a folder, name a file to write"


def test_bad_films(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A film too short, cut off, or of another length than its reference is refused."""
    target = tmp_path / "new.mp4"
    short = write_film(tmp_path / "short.mp4", times=even_times(4))
    assert said(capsys, short, target) == f"{short} has 4 frames, it must have at least 5"
    reference = ("--compare", str(short))
    assert said(capsys, film, target, *reference) == (
        f"{short} has 4 frames, {film} has 23, they must have as many to be compared"
    )
    film.write_bytes(film.read_bytes()[:-4000])
    assert said(capsys, film, target).startswith(f"{film} is truncated")


def test_sound_that_cannot_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sound that the new file cannot hold is named, and what to make of it."""
    source = write_film(tmp_path / "film.mkv", times=even_times(9), audio="wavpack")
    assert said(capsys, source, tmp_path / "new.mp4") == (
        f"audio of {source} (wavpack) cannot be copied into mp4, convert it to AAC first"
    )


def test_weights_that_are_not_there(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real preset without its files says what to run."""
    options = ("--preset", "wan-1.3b", "--weights", str(tmp_path))
    reason = said(capsys, film, tmp_path / "new.mp4", *options)
    assert f"in {tmp_path}, run: slipstream-engine pull wan-1.3b" in reason


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda tensor: torch.full_like(tensor, torch.nan), "holds NaN or infinity in head.head"),
        (lambda tensor: tensor[:-1], "is not a checkpoint of this model"),
    ],
    ids=["nan", "another model"],
)
def test_bad_weights(
    film: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[torch.Tensor], torch.Tensor],
    reason: str,
) -> None:
    """NaN in weights, or the weights of another model, end it before the first chunk."""
    folder = tmp_path / "weights"
    shutil.copytree(embedded.WEIGHTS, folder)
    file = folder / embedded.DIT_FILE
    tensors = load_file(file)
    tensors["head.head.bias"] = spoil(tensors["head.head.bias"])
    save_file(tensors, file)

    def load_spoilt(config: EngineConfig) -> ModelBundle[TaehvState]:
        return embedded.load_embedded_bundle(config, folder)

    monkeypatch.setattr(factory, "load_embedded_bundle", load_spoilt)
    assert reason in said(capsys, film, tmp_path / "new.mp4")


@pytest.mark.parametrize(("module", "extra"), [("av", "files"), ("cv2", "eval")])
def test_extras_that_are_not_there(
    film: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
) -> None:
    """A package that only this needs is named with what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    assert said(capsys, film, tmp_path / "new.mp4", "--compare", str(film)) == (
        f"the package {module} is not installed, install it with: pip install 'slipstream[{extra}]'"
    )


def test_the_engine_needs_no_film_library() -> None:
    """The command line comes up where PyAV, OpenCV and scikit-image are not installed."""
    code = (
        "import sys\n"
        "for name in ('av', 'cv2', 'skimage'): sys.modules[name] = None\n"
        "from slipstream_engine.__main__ import main\n"
        "try: main(['v2v', '--help'])\n"
        "except SystemExit as end: sys.exit(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--noise-scale" in done.stdout
