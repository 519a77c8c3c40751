"""The training command runs all its stages in small; killed, it goes on and ends the same."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from slipstream_engine.config import EngineConfig
from slipstream_engine.weights.embedded import (
    CODEC_FILE,
    DIT_FILE,
    TEXT_FILE,
    WEIGHTS,
    load_embedded_bundle,
)

pytest.importorskip("cv2", reason="the train extra is not installed")

from slipstream_engine.train import plan

from tests.engine.train.smoke_command import train

DEADLINE_S = 120
KILLS = 6
# writes weights over and over; each file holds one number only
_WRITER = """
import sys, torch
from pathlib import Path
from slipstream_engine.train.fit import save_weights
path = Path(sys.argv[1])
for number in range(1, 1000):
    save_weights(path, {"w": torch.full((1 << 20,), float(number))}, {})
    print(number, flush=True)
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """Folders of one training: as it was before the transformer's stage, and when it was done."""

    half: Path
    whole: Path


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """Made without a network."""

    def no_network(*_: object) -> None:
        raise OSError("there is no network")

    folder = tmp_path_factory.mktemp("trainings")
    half, whole = folder / "half", folder / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", no_network)
        for stage in ("data", "codec", "text"):
            assert train("--stage", stage, "--out", str(whole)) == 0
        shutil.copytree(whole, half)
        assert train("--out", str(whole)) == 0
    yield Trainings(half=half, whole=whole)
    shutil.rmtree(folder)


@contextmanager
def running(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """A program whose lines can be read; killed if it is still there at the end.

    It has as many threads as this process, whatever other tests have made of them: sums are then
    taken in the same order.
    """
    line = [sys.executable, *command]
    env = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read its lines until one begins with `words`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(words):
            return
    raise AssertionError(f"it ended without saying {words}")


def test_all_stages_run(trainings: Trainings) -> None:
    """every stage runs without a network, and ships the model that is served; again is a no-op."""
    weights = trainings.whole / "weights"
    files = {path.name for path in weights.iterdir()}
    assert {CODEC_FILE, DIT_FILE, TEXT_FILE, "MODEL_CARD.md", "samples.png"} <= files
    assert {"scores.json", "quality.json", "ablation.json", "drift.json"} <= files
    mark = hashlib.sha256((weights / DIT_FILE).read_bytes()).hexdigest()[:12]
    assert json.loads((weights / "drift.json").read_text())["weights"] == mark
    card = (weights / "MODEL_CARD.md").read_text()
    assert "## A long stream" in card and "## What the parts are good for" in card
    assert "## Picture quality" in card
    assert "Minutes it took: data" in card and "## Colours" in card
    load_embedded_bundle(EngineConfig(preset=plan.smoke(0).preset), weights)
    before = (weights / DIT_FILE).read_bytes()
    assert train("--stage", "dit", "--out", str(trainings.whole)) == 0
    assert (weights / DIT_FILE).read_bytes() == before


def test_a_kill_in_the_middle_of_training(
    trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    """good weights stay until better ones are whole, and the same command ends where an unbroken
    run does, but for single weights whose gradient is next to nothing: its sign is rounding's."""
    whole, broken = trainings.whole, trainings.half
    for name in (CODEC_FILE, DIT_FILE):
        shutil.copy(WEIGHTS / name, broken / "weights" / name)
    command = ("-m", "slipstream_engine", "train-tiny", "--smoke", "--stage", "dit")
    with running(*command, "--out", str(broken)) as process:
        until(process, "dit pictures: step 2/4")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_S)
    for name in (CODEC_FILE, DIT_FILE):
        assert (broken / "weights" / name).read_bytes() == (WEIGHTS / name).read_bytes()
    capsys.readouterr()
    assert train("--stage", "dit", "--out", str(broken)) == 0
    assert f"going on from step 4 of {broken}/checkpoints/latents.pt" in capsys.readouterr().out
    for name in (CODEC_FILE, DIT_FILE, TEXT_FILE):
        ours, theirs = (load_file(out / "weights" / name) for out in (broken, whole))
        off = torch.cat([(ours[key] - theirs[key]).float().abs().flatten() for key in theirs])
        assert (off > 1e-3).sum() < 1e-4 * len(off) + 1
        assert off.max() < 5e-3


def test_a_kill_while_weights_are_written(tmp_path: Path) -> None:
    """whenever SIGKILL comes, the file is a whole one: the last that was written, or the next."""
    path = tmp_path / "w.safetensors"
    for kill in range(KILLS):
        with running("-c", _WRITER, str(path)) as process:
            until(process, str(3 + kill))
            os.kill(process.pid, signal.SIGKILL)
            process.wait(DEADLINE_S)
        values = load_file(path)["w"]
        assert torch.equal(values, values[:1].expand_as(values))
        assert values[0] >= 3 + kill
