"""offline/v2v.py, offline/video_writer.py: a whole video through the pipeline with its times and
audio, or no file at all.
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
from slipstream_engine.offline.v2v import split_into_chunks, transform_video
from slipstream_engine.offline.video_reader import (
    TimedFrame,
    VideoReader,
    examine_video,
    scaled_frames,
)
from slipstream_engine.offline.video_writer import VideoWriter
from slipstream_engine.weights import bundle, embedded
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import StageTimes
from slipstream_protocol.parameters import Parameters

from tests.e2e.clips import shipped_clip
from tests.engine.toys import toy_pipeline
from tests.engine.video_files import TIME_BASE, audio_of, even_times, times_of, write_video

GEOMETRY = Geometry(width_px=2, height_px=2, first_chunk_frames=5, chunk_frames=4)


def v2v(source: Path, target: Path, *options: str) -> int:
    return main(["v2v", str(source), str(target), "--prompt", "neon", "--size", "64x48", *options])


# the command as in a terminal: where the tests are a shell's background job they ignore SIGINT, and
# their children inherit that
HEED_SIGINT = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("slipstream_engine", run_name="__main__")
"""

BIG_ENOUGH = ("--size", "128x96")  # below that x264's choice of block types wavers


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", times=even_times(23), audio="aac")


@given(st.integers(1, 40))
def test_a_video_in_chunks(count: int) -> None:
    """Five frames, then four at a time; none is lost, and the last one fills what is left."""
    video = [TimedFrame(pixels=np.full((3, 2), k, np.uint8), time=10 * k) for k in range(count)]
    chunks = list(split_into_chunks(video, GEOMETRY))
    assert [len(chunk.frames_THW) for chunk in chunks] == [5, *[4] * (len(chunks) - 1)]
    assert [time for chunk in chunks for time in chunk.times] == [p.time for p in video]
    numbers = [int(frame[0, 0]) for chunk in chunks for frame in chunk.frames_THW]
    assert numbers == [*range(count), *[count - 1] * (len(numbers) - count)]


def test_a_real_video_with_audio(tmp_path: Path) -> None:
    """Every frame of a real clip has its successor at the same time; the audio is the same."""
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
    source = write_video(tmp_path / "uneven.mp4", times=times, audio="aac")
    target = tmp_path / name
    assert v2v(source, target) == 0
    assert times_of(target) == [time * TIME_BASE for time in times]
    assert audio_of(target) == audio_of(source)


def test_ntsc_times(tmp_path: Path) -> None:
    """30000 / 1001 frames a second stay that."""
    clip, target = shipped_clip("carphone_pristine.mp4"), tmp_path / "new.mp4"
    assert v2v(clip, target) == 0
    assert times_of(target) == [Fraction(1001 * k, 30000) for k in range(120)]


def test_the_same_request_makes_the_same_video(tmp_path: Path) -> None:
    """Prompt, seed and strength decide the video, and nothing else does."""
    video = write_video(tmp_path / "video.mp4", times=even_times(9), audio="aac")
    files = []
    for name, options in (
        ("a.mp4", ("--seed", "3")),
        ("b.mp4", ("--seed", "3")),
        ("c.mp4", ("--seed", "4")),
        ("d.mp4", ("--seed", "3", "--noise-scale", "0.3")),
        ("e.mp4", ("--seed", "3", "--steps", "2")),
    ):
        assert v2v(video, tmp_path / name, *BIG_ENOUGH, *options) == 0
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert len(set(files)) == 4


class ListSink:
    """Keeps the frames that are written, and counts audio packets."""

    def __init__(self) -> None:
        self.frames: list[TimedFrame] = []
        self.packets = 0

    def write(self, frame: TimedFrame) -> None:
        self.frames.append(frame)

    def copy(self, packet: "av.Packet[av.AudioStream]") -> None:
        self.packets += 1


def test_a_video_is_its_stream(video: Path) -> None:
    """What is written is what the pipeline makes of the video's chunks, in order."""
    pipeline, sink = toy_pipeline(), ListSink()
    written: list[int] = []
    with VideoReader(video) as source:
        transform_video(
            source, sink, pipeline.open(Parameters()), pipeline.geometry, written.append
        )
    with VideoReader(video) as source:
        scaled = scaled_frames(source, width_px=32, height_px=32, on_audio=lambda packet: None)
        frames = [frame.pixels for frame in scaled]
    frames += [frames[-1]] * 2
    stream, generated = pipeline.open(Parameters()), []
    for start, stop in pairwise((0, 5, 9, 13, 17, 21, 25)):
        out_THW = np.empty((stop - start, *pipeline.geometry.frame_shape), np.uint8)
        stream.step(np.stack(frames[start:stop]), out_THW)
        generated += list(out_THW)
    assert written == [5, 9, 13, 17, 21, 23]
    assert [frame.time for frame in sink.frames] == even_times(23)
    assert np.array_equal(np.stack([p.pixels for p in sink.frames]), np.stack(generated[:23]))
    assert sink.packets == len(audio_of(video))


def test_memory_is_flat(tmp_path: Path) -> None:
    """A video of two hundred chunks takes no more memory than one of forty."""
    long = write_video(tmp_path / "long.mp4", times=even_times(801))
    pipeline = toy_pipeline()
    process, resident_bytes = psutil.Process(), list[int]()

    def measure(frames: int) -> None:
        if frames % 160 == 1:
            gc.collect()
            resident_bytes.append(process.memory_info().rss)

    video = examine_video(long, least_frames=5)
    geometry = pipeline.geometry
    with (
        VideoReader(long) as source,
        (tmp_path / "new.mp4").open("wb") as file,
        VideoWriter(
            file, format="mp4", source=video, geometry=geometry, audio=source.audio
        ) as writer,
    ):
        transform_video(source, writer, pipeline.open(Parameters()), geometry, measure)
    assert len(resident_bytes) == 5
    assert resident_bytes[-1] - resident_bytes[0] < 4 * 2**20


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_nothing(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Whatever ends the work half-way, no part of a video is left, and an older one stays."""
    target = tmp_path / "new.mp4"
    target.write_bytes(b"older")
    step = DiffusionStream.step

    def fail(self: DiffusionStream[TaehvState], frames: I420, out: I420) -> StageTimes:
        if self.host.next_chunk == 3:
            raise error
        return step(self, frames, out)

    monkeypatch.setattr(DiffusionStream, "step", fail)
    with pytest.raises(type(error)):
        v2v(video, target)
    assert target.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.mp4", "video.mp4"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """A signal in the middle of a video ends the process and deletes what it had written."""
    video = write_video(tmp_path / "video.mp4", times=even_times(600))
    command = [sys.executable, "-c", HEED_SIGINT, "v2v", str(video)]
    command += [str(tmp_path / "new.mp4"), "--prompt", "neon", "--size", "64x48"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("600 frames" in line for line in process.stderr)
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(number)
        process.stderr.read()
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_compared_with_a_reference(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--compare` prints how the new video differs from another one of as many frames."""
    assert v2v(video, tmp_path / "new.mp4", "--compare", str(video)) == 0
    names = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["frames", "PSNR", "SSIM", "warp error", "flicker", "flicker, energy"]


def refusal_of(
    capsys: pytest.CaptureFixture[str], source: Path, target: Path, *options: str
) -> str:
    """Why a video was refused; nothing was written then, and no chunk was made."""
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
def test_impossible_options(
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    reason: str,
) -> None:
    """Each is answered with the value, the rule and the choice."""
    assert refusal_of(capsys, video, tmp_path / "new.mp4", *options) == reason


def test_impossible_names(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that cannot be written, or is that of what is read, is refused."""
    avi = tmp_path / "new.avi"
    assert (
        refusal_of(capsys, video, avi) == f"{avi} ends in '.avi', it must end in one of .mp4, .mov"
    )
    assert (
        refusal_of(capsys, video, video) == f"{video} is what is read, name another file to write"
    )
    nowhere = tmp_path / "no" / "new.mp4"
    assert (
        refusal_of(capsys, video, nowhere) == f"there is no folder {nowhere.parent}, make it first"
    )
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    assert refusal_of(capsys, video, folder) == f"{folder} is a folder, name a file to write"


def test_bad_videos(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A video too short, cut off, or of another length than its reference is refused."""
    target = tmp_path / "new.mp4"
    short = write_video(tmp_path / "short.mp4", times=even_times(4))
    assert refusal_of(capsys, short, target) == f"{short} has 4 frames, it must have at least 5"
    reference = ("--compare", str(short))
    assert refusal_of(capsys, video, target, *reference) == (
        f"{short} has 4 frames, {video} has 23, they must have as many to be compared"
    )
    video.write_bytes(video.read_bytes()[:-4000])
    assert refusal_of(capsys, video, target).startswith(f"{video} is truncated")


def test_weights_that_are_not_there(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real preset without its files says what to run."""
    options = ("--preset", "wan-1.3b", "--weights", str(tmp_path))
    reason = refusal_of(capsys, video, tmp_path / "new.mp4", *options)
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
    video: Path,
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

    monkeypatch.setattr(bundle, "load_embedded_bundle", load_spoilt)
    assert reason in refusal_of(capsys, video, tmp_path / "new.mp4")


@pytest.mark.parametrize(("module", "extra"), [("av", "files"), ("cv2", "eval")])
def test_extras_that_are_not_there(
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
) -> None:
    """A package that only this needs is named with what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    assert refusal_of(capsys, video, tmp_path / "new.mp4", "--compare", str(video)) == (
        f"the package {module} is not installed, install it with: pip install 'slipstream[{extra}]'"
    )


def test_the_engine_needs_no_video_library() -> None:
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


def test_a_manifest_shows_that_two_devices_make_the_frames_of_one(
    video: Path, tmp_path: Path
) -> None:
    """a line a frame, equal for equal pixels whatever the video's encoder makes of them."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    common = ("--steps", "2", "--threads", "1", "--manifest")
    assert v2v(video, tmp_path / "1.mp4", *common, str(alone)) == 0
    devices = ("--devices", "cpu,cpu", "--plan", "layers")
    assert v2v(video, tmp_path / "2.mp4", *common, str(both), *devices) == 0
    hashes = alone.read_text().split()
    assert len(hashes) == 23 and all(len(line) == 64 for line in hashes)
    assert len(set(hashes)) > 1
    assert both.read_text().split() == hashes
