"""Pulling weights: resumed, checked by header, converted once, or a clear word on what to do."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from slipstream_engine.checkpoints.checkpoint import open_checkpoint
from slipstream_engine.checkpoints.loader import load_module
from slipstream_engine.weights.download import add_pull, offline_instructions
from slipstream_engine.weights.registry import BUNDLES, TAEHV, WAN_VAE
from torch import nn

from tests.engine.hub import LocalHub
from tests.engine.keylists import real_shapes

TAEHV_PATH = Path(TAEHV.repo, TAEHV.path)


def write_taehv(path: Path, *, extra_rows: int = 0) -> dict[str, torch.Tensor]:
    """A file of taew2_1's tensors with random numbers; its first growth with more rows."""
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: torch.randn(shape, generator=generator) / 100
        for name, shape in real_shapes("taehv_taew2_1").items()
    }
    grown = tensors["decoder.7.conv.weight"]
    tensors["decoder.7.conv.weight"] = torch.cat([grown[:extra_rows] + 1, grown])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path)
    return tensors


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a run of the command ended with."""

    code: int
    stderr: str


Pull = Callable[..., Done]


@pytest.fixture
def pull(capsys: pytest.CaptureFixture[str]) -> Pull:
    """The command, in this process."""

    def run(*arguments: object) -> Done:
        parser = argparse.ArgumentParser()
        add_pull(parser.add_subparsers())
        parsed = parser.parse_args(["pull", *map(str, arguments)])
        return Done(code=parsed.run(parsed), stderr=capsys.readouterr().err)

    return run


def pull_from_hub(*arguments: object, **environment: str) -> Done:
    """The command in a process of its own: the hub's library reads its settings when imported."""
    program = (
        "import argparse, sys\n"
        "from slipstream_engine.weights.download import add_pull\n"
        "parser = argparse.ArgumentParser()\n"
        "add_pull(parser.add_subparsers())\n"
        "arguments = parser.parse_args(['pull', *sys.argv[1:]])\n"
        "sys.exit(arguments.run(arguments))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(code=ended.returncode, stderr=ended.stderr)


def built(build: object) -> nn.Module:
    assert callable(build)
    with torch.device("meta"):
        module = build()
    assert isinstance(module, nn.Module)
    return module


@pytest.mark.parametrize("layout", [TAEHV_PATH, Path("taew2_1.pth"), Path("a/b/taew2_1.pth")])
def test_a_folder_stands_in_for_the_hub(pull: Pull, tmp_path: Path, layout: Path) -> None:
    """whatever its layout, the file is found, converted, loadable, and left where it was."""
    tensors = write_taehv(tmp_path / "hub" / layout, extra_rows=64)
    done = pull("taehv", "--from", tmp_path / "hub", "--weights", tmp_path / "weights")
    assert done.code == 0, done.stderr
    target = tmp_path / "weights" / TAEHV.file
    assert [path.name for path in target.parent.iterdir()] == [TAEHV.file]
    assert (tmp_path / "hub" / layout).is_file()
    assert TAEHV.build is not None
    module = load_module(
        TAEHV.build,
        target,
        dtype=torch.float32,
        device=torch.device("cpu"),
        surplus=TAEHV.surplus,
    )
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, tensors[name][-tensor.shape[0] :]), name


def test_intact_files_are_not_fetched_again(pull: Pull, tmp_path: Path) -> None:
    """a second pull looks at headers only; a damaged file is replaced."""
    write_taehv(tmp_path / "hub" / TAEHV_PATH)
    arguments = ("taehv", "--from", tmp_path / "hub", "--weights", tmp_path / "weights")
    assert pull(*arguments).code == 0
    assert f"{TAEHV.file} is there" in pull(*arguments).stderr
    target = tmp_path / "weights" / TAEHV.file
    whole = target.read_bytes()
    target.write_bytes(whole[:-1])
    done = pull(*arguments)
    assert "truncated" in done.stderr and "will be replaced" in done.stderr
    assert target.read_bytes() == whole


def test_a_download_that_breaks_off_is_resumed(tmp_path: Path) -> None:
    """the rest of the file is asked for, not the whole again; nothing is left beside the result."""
    write_taehv(tmp_path / "hub" / TAEHV_PATH)
    with LocalHub(tmp_path / "hub", hang_up_at=15_000_000) as hub:
        done = pull_from_hub(
            "taehv",
            "--weights",
            tmp_path / "weights",
            HF_ENDPOINT=hub.endpoint,
            HF_HUB_DISABLE_XET="1",
            HF_HOME=str(tmp_path / "home"),
        )
    assert done.code == 0, done.stderr
    first, second = hub.ranges
    assert first == "" and int(second.removeprefix("bytes=").partition("-")[0]) > 10_000_000
    assert open_checkpoint(tmp_path / "weights" / TAEHV.file).shapes
    assert not list((tmp_path / "weights").rglob("*.pth"))


def test_offline_it_says_what_to_do(tmp_path: Path) -> None:
    """without the hub the reason and the way round it are printed, not a traceback."""
    weights = tmp_path / "weights"
    done = pull_from_hub(
        "wan-1.3b", "--weights", weights, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "home")
    )
    assert done.code == 1
    assert "wan_causal_dmd_v2v/model.pt of jerryfeng/StreamDiffusionV2: " in done.stderr
    assert offline_instructions("wan-1.3b", weights) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("bundle", sorted(BUNDLES))
def test_what_to_fetch_and_where_to_put_it(tmp_path: Path, bundle: str) -> None:
    """every absent file is named with the command that fetches it; those that are there are not."""
    lines = offline_instructions(bundle, tmp_path)
    for artifact in BUNDLES[bundle]:
        fetch = f"hf download {artifact.repo} {artifact.path} --local-dir DIR/{artifact.repo}"
        assert fetch in lines
        (tmp_path / artifact.file).touch()
        assert fetch not in offline_instructions(bundle, tmp_path)
    assert f"slipstream-engine pull {bundle} --from DIR --weights {tmp_path}" in lines


def test_the_wrong_checkpoint_is_refused(pull: Pull, tmp_path: Path) -> None:
    """what arrived is held against the model before it gets its name."""
    torch.save({"model.other": torch.zeros(3)}, tmp_path / "taew2_1.pth")
    done = pull("taehv", "--from", tmp_path, "--weights", tmp_path / "weights")
    assert done.code == 1
    assert "is not a checkpoint of this model: it holds 1 tensors, 128 are wanted" in done.stderr
    assert not list((tmp_path / "weights").iterdir())


def test_a_truncated_file_is_refused(pull: Pull, tmp_path: Path) -> None:
    """half a file never gets the whole one's name."""
    write_taehv(tmp_path / "taew2_1.pth")
    content = (tmp_path / "taew2_1.pth").read_bytes()
    (tmp_path / "taew2_1.pth").write_bytes(content[:-1000])
    done = pull("taehv", "--from", tmp_path, "--weights", tmp_path / "weights")
    assert done.code == 1
    assert "taew2_1.pth is truncated or not a torch.save file" in done.stderr
    assert not list((tmp_path / "weights").iterdir())


def test_a_folder_without_the_file_says_what_to_fetch(pull: Pull, tmp_path: Path) -> None:
    """the missing file and the way to get it are named."""
    done = pull("taehv", "--from", tmp_path, "--weights", tmp_path / "weights")
    assert done.code == 1
    assert f"no taew2_1.pth anywhere under {tmp_path}" in done.stderr
    assert f"hf download {TAEHV.repo} taew2_1.pth" in done.stderr


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("wan-1.3b.safetensors", "wan_t2v_1.3b_dit"),
        ("wan-14b.safetensors", "wan_t2v_14b_dit"),
        ("wan-vae.safetensors", "wan2.1_vae"),
        ("umt5-xxl.safetensors", "umt5_xxl_encoder"),
        ("taew2_1.safetensors", "taehv_taew2_1"),
    ],
)
def test_every_artifact_is_checked_against_the_real_tensors(file: str, keys: str) -> None:
    """names and shapes of each real checkpoint are those of the module it is for."""
    artifacts = {artifact.file: artifact for bundle in BUNDLES.values() for artifact in bundle}
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in built(artifacts[file].build).state_dict().items()
    }
    assert shapes == real_shapes(keys)


def test_the_command_line_knows_its_bundles(capsys: pytest.CaptureFixture[str]) -> None:
    """an unknown name is answered with the known ones."""
    parser = argparse.ArgumentParser()
    add_pull(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["pull", "wan-2b"])
    error = capsys.readouterr().err
    assert all(name in error for name in BUNDLES)
    assert WAN_VAE in BUNDLES["wan-1.3b"]
