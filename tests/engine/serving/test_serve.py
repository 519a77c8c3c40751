"""`slipstream-engine serve`: what cannot be loaded is reported on the channel, with what to do."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.registry import UMT5, files_of
from slipstream_protocol.channel import ChannelClosed, open_pair, server_end
from slipstream_protocol.messages import Failed, Loading

DEADLINE_S = 60


def refusal(home: Path, *arguments: str) -> str:
    """Why an engine whose user's home is `home` did not start."""
    ours, theirs = open_pair()
    with theirs:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "slipstream_engine", "serve"),
                *("--channel-fd", str(theirs.fileno()), *arguments),
            ],
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "HOME": str(home)},
            stderr=subprocess.PIPE,
        )
    channel = server_end(ours)
    with closing(channel), process:
        loading, failed = (channel.receive(DEADLINE_S) for _ in range(2))
        with pytest.raises(ChannelClosed):
            channel.receive(DEADLINE_S)
        assert process.stderr is not None
        assert b"the engine could not start" in process.stderr.read()
        assert process.wait(DEADLINE_S) == 1
    assert isinstance(loading, Loading)
    assert isinstance(failed, Failed) and failed.lane == -1
    return failed.reason


def test_without_weights_it_says_which_and_how_to_get_them(tmp_path: Path) -> None:
    """the very text that the server shows: every file, where it was looked for, the command."""
    files = ", ".join(artifact.file for artifact in files_of(PRESETS["wan-1.3b"]))
    assert refusal(tmp_path, "--preset", "wan-1.3b") == (
        f"CheckpointError: preset wan-1.3b needs {files} in "
        f"{tmp_path}/.cache/slipstream/weights, run: slipstream-engine pull wan-1.3b"
    )


def test_a_file_of_another_model_is_told_by_its_shapes(tmp_path: Path) -> None:
    """whatever lies under the right name is compared with the model before it is read."""
    for artifact in files_of(PRESETS["wan-1.3b-fast"]):
        (tmp_path / artifact.file).write_bytes(b"{}")
    reason = refusal(tmp_path, "--preset", "wan-1.3b-fast", "--weights", str(tmp_path))
    assert f"{tmp_path}/wan-1.3b.safetensors is truncated or not a safetensors file" in reason
    assert UMT5.file not in reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--codec", "vae"), "codec is 'vae', it must be wan or taehv, or an encoder and a"),
        (("--size", "830x480"), "width is 830 px, it must be a multiple of 16"),
        (("--device", "cuda"), "device is cuda, this machine has no GPU that torch can use"),
        (("--echo-steps", "ms"), "--echo-steps is ms, which goes with --pipeline echo only"),
    ],
)
def test_an_option_that_cannot_be_met_is_refused_before_any_work(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    """codec, size and device are checked before files are."""
    if arguments[0] == "--device":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    assert reason in refusal(tmp_path, "--preset", "wan-1.3b", *arguments)


def test_the_embedded_model_has_only_its_own_codec(tmp_path: Path) -> None:
    assert "codec is 'wan', preset tiny has only its own" in refusal(tmp_path, "--codec", "wan")


@pytest.fixture
def without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs started from now on find no torch, as in a small install."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.usefixtures("without_torch")
def test_without_torch_it_says_what_brings_it(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        "MissingExtraError: the package torch is not installed, install it with: "
        "pip install 'slipstream[engine]'"
    )


@pytest.mark.usefixtures("without_torch")
def test_without_torch_the_command_line_says_what_brings_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "slipstream_engine", "v2v", "--help"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "slipstream-engine: the package torch is not installed, install it with: "
        "pip install 'slipstream[engine]'\n"
    )
