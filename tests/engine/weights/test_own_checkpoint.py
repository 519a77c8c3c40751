"""`--checkpoint FILE`: a transformer of one's own in a preset's place, in every command."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from slipstream_engine.__main__ import main
from slipstream_engine.cli.inspect import inspect
from slipstream_engine.weights.embedded import DIT_FILE, WEIGHTS
from slipstream_engine.weights.registry import GENERATORS
from slipstream_engine.weights.request import ModelRequest
from torch import Tensor

from tests.engine import small_real
from tests.engine.video_files import even_times, write_video


def own(path: Path, scale: float) -> Path:
    """The embedded transformer as a training script saves one, its last layer changed."""
    tensors: dict[str, Tensor] = load_file(WEIGHTS / DIT_FILE)
    tensors["head.head.weight"] = tensors["head.head.weight"] * scale
    torch.save({"step": 7, "generator_ema": {f"model.{k}": t for k, t in tensors.items()}}, path)
    return path


def test_films_are_made_with_it(tmp_path: Path) -> None:
    """Weights as a training script saves them make the same film, others another one."""
    video = write_video(tmp_path / "video.mp4", times=even_times(9))
    made = {}
    for name, options in (
        ("preset", ()),
        ("same", ("--checkpoint", str(own(tmp_path / "same.ckpt", 1)))),
        ("other", ("--checkpoint", str(own(tmp_path / "other.bin", 0.5)))),
    ):
        target = tmp_path / f"{name}.mp4"
        size = ("--size", "128x96")
        assert main(["v2v", str(video), str(target), "--prompt", "neon", *size, *options]) == 0
        made[name] = target.read_bytes()
    assert made["same"] == made["preset"]
    assert made["other"] != made["preset"]


def test_it_is_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The form that was found is said; a file of another model is told before anything runs."""
    path = own(tmp_path / "own.ckpt", 1)
    assert main(["inspect", "--checkpoint", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights_problem"] is None
    assert found["checkpoint"] == f"{path}: torch.save, under generator_ema, prefix model., float16"
    torch.save({"generator": {"a.weight": torch.zeros(2)}}, path)
    assert main(["inspect", "--checkpoint", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "is not a checkpoint of this model" in found["weights_problem"]


def test_a_real_preset_needs_no_file_of_its_own(tmp_path: Path) -> None:
    """With a checkpoint, the preset's own transformer may be absent; the rest may not."""
    weights = small_real.write_weights(tmp_path / "weights")
    generator = weights / GENERATORS["wan-1.3b"].file
    path = generator.rename(tmp_path / "own.safetensors")
    request = ModelRequest(preset="wan-1.3b", device="cpu", weights=weights)
    assert "needs wan-1.3b.safetensors" in str(inspect(request).weights_problem)
    prepared = small_real.make(weights, tmp_path / "cache", checkpoint=path)
    prepared.close()


def test_the_benchmark_takes_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights and a checkpoint exclude each other."""
    assert main(["bench", "--checkpoint", "x.pt", "--random-weights"]) == 1
    assert "choose one of them" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named before the first frame."""
    video = write_video(tmp_path / "video.mp4", times=even_times(9))
    absent = tmp_path / "none.pt"
    command = ["v2v", str(video), str(tmp_path / "new.mp4"), "--prompt", "neon"]
    assert main([*command, "--checkpoint", str(absent)]) == 1
    assert f"there is no checkpoint at {absent}" in capsys.readouterr().err
