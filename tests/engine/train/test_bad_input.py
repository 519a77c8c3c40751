"""A training that cannot go on says what to do, and never leaves a broken file for a good one."""

import importlib.metadata
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from slipstream_engine.atomic_file import atomic_path
from slipstream_engine.weights.embedded import CODEC_FILE, DIT_FILE, TEXT_FILE, WEIGHTS

pytest.importorskip("cv2", reason="the train extra is not installed")

from slipstream_engine.train import fit, sources

from tests.engine.train.smoke_command import train


def test_an_interrupt_is_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends with a line that says how to go on."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slipstream_engine.train.data.build", interrupted)
    assert train("--stage", "data", "--out", str(tmp_path)) == 1
    assert capsys.readouterr().err == (
        "train-tiny data: stopped; the same command goes on from the last checkpoint\n"
    )


def test_a_package_that_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """it is named with the picture that comes with it, and what to do, also without a network."""
    real = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name == "scikit-image":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert train("--stage", "data", "--out", str(tmp_path / "new")) == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith(
        "train-tiny data: scikit-image is not installed, the picture astronaut comes with it: "
        "run pip install 'slipstream[engine,train]'; without a network, fetch the wheels"
    )
    assert not (tmp_path / "new").exists()


def test_without_opencv(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """the package that every stage needs is named before any work."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert train("--stage", "data") == 1
    assert capsys.readouterr().err == (
        "opencv is not installed, run pip install 'slipstream[engine,train]'\n"
    )


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """what the system says of it is shown, with the path."""
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert train("--stage", "text", "--out", str(taken)) == 1
    assert str(taken) in capsys.readouterr().err
    assert taken.read_text() == "a file"


def test_weights_of_another_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """weights of another shape are named with the tensor that does not fit, and what to do."""
    for name in (CODEC_FILE, DIT_FILE, TEXT_FILE):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    fit.save_weights(tmp_path / DIT_FILE, {"patch_embedding.weight": torch.ones(3, 3)}, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train("--stage", "drift", "--weights", str(tmp_path)) == 1
    stderr = capsys.readouterr().err
    assert f"{tmp_path / DIT_FILE} is not a checkpoint of this model" in stderr
    assert stderr.endswith("make it anew, or name another folder with --out or --weights\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_picture_of_another_version() -> None:
    """a package whose picture is not the pinned one is named, with the version that is."""
    wrong = replace(sources.TRAINING[0], sha256="0" * 64)
    with pytest.raises(sources.SourceError, match=r"run pip install scikit-image==0\.26\.0"):
        sources.locate(wrong)
    absent = replace(sources.TRAINING[0], package="no-such-distribution")
    with pytest.raises(sources.SourceError, match=r"pip install 'slipstream\[engine,train\]'"):
        sources.locate(absent)


def test_broken_weights_replace_nothing(tmp_path: Path) -> None:
    """weights that are no numbers, and a write that fails, leave the good file as it was."""
    path = tmp_path / "weights.safetensors"
    fit.save_weights(path, {"w": torch.ones(2)}, {})
    good = path.read_bytes()
    with pytest.raises(ValueError, match="w holds a value that half precision cannot"):
        fit.save_weights(path, {"w": torch.tensor([1.0, float("nan")])}, {})

    with pytest.raises(OSError, match="no space left"), atomic_path(path) as partial:
        partial.write_bytes(b"half a fi")
        raise OSError("no space left on device")
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]
