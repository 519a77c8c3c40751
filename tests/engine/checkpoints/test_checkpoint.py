"""Reading checkpoints: every container and prefix is known, every damage is named."""

import argparse
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from slipstream_engine.checkpoints.checkpoint import open_checkpoint
from slipstream_engine.checkpoints.naming import bare_name
from slipstream_engine.errors import CheckpointError
from torch import Tensor


def tensors(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "blocks.0.weight": torch.randn(4, 3, generator=generator),
        "blocks.1.weight": torch.randn(2, 3, generator=generator).bfloat16(),
        "head.bias": torch.randn(5, generator=generator),
    }


def prefixed(named: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in named.items()}


def assert_holds(path: Path, expected: dict[str, Tensor], *, remap_bytes: int = 1) -> None:
    checkpoint = open_checkpoint(path)
    assert checkpoint.shapes == {name: tuple(tensor.shape) for name, tensor in expected.items()}
    found = dict(checkpoint.tensors(remap_bytes=remap_bytes))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert checkpoint.entries[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".ckpt"])
@pytest.mark.parametrize("container", ["generator", "generator_ema", "state_dict", "model", None])
@pytest.mark.parametrize(
    "prefix", ["", "model.", "module.", "model._fsdp_wrapped_module.", "model.diffusion_model."]
)
def test_every_container_and_prefix_of_a_torch_file(
    tmp_path: Path, container: str | None, prefix: str, suffix: str
) -> None:
    """a model is found under whatever training wrapped around it."""
    wrapped: dict[str, Any] = prefixed(tensors(), prefix)
    if container:
        wrapped = {"critic": {"other": torch.zeros(1)}, "step": 3, container: wrapped}
    path = tmp_path / f"model{suffix}"
    torch.save(wrapped, path)
    assert_holds(path, tensors())
    form = open_checkpoint(path).form
    assert form.startswith("torch.save") and "float32 and bfloat16" in form
    assert container is None or f"under {container}" in form
    assert "_fsdp" in prefix or not prefix or f"prefix {prefix}" in form


def test_nested_containers(tmp_path: Path) -> None:
    """a model may lie two keys deep, beside counters and an optimiser."""
    nested = {"epoch": 3, "model": {"state_dict": tensors()}, "optimizer": {"lr": 1.0}}
    torch.save(nested, tmp_path / "model.ckpt")
    assert_holds(tmp_path / "model.ckpt", tensors())
    assert "under model.state_dict" in open_checkpoint(tmp_path / "model.ckpt").form


@pytest.mark.parametrize(
    ("prefix", "other"),
    [
        ("model.diffusion_model.", "first_stage_model.decoder.weight"),
        ("generator.model.", "generator_ema.model.head.bias"),
        ("generator_ema.", "critic.head.bias"),
    ],
)
def test_a_model_beside_others_in_one_flat_file(tmp_path: Path, prefix: str, other: str) -> None:
    """ComfyUI's all-in-one files and flattened training files hold more than the model."""
    named = prefixed(tensors(), prefix) | {other: torch.zeros(3)}
    save_file(named, tmp_path / "model.safetensors")
    assert_holds(tmp_path / "model.safetensors", tensors())
    assert (
        "1 tensors of other models passed over"
        in open_checkpoint(tmp_path / "model.safetensors").form
    )


def test_the_first_container_wins(tmp_path: Path) -> None:
    """`generator` is taken before its average."""
    both = {"generator_ema": tensors(1), "generator": tensors(2)}
    torch.save(both, tmp_path / "model.pt")
    assert_holds(tmp_path / "model.pt", tensors(2))


def test_safetensors_single_and_sharded(tmp_path: Path) -> None:
    """one file and many name the same tensors."""
    named = prefixed(tensors(), "model.")
    save_file(named, tmp_path / "one.safetensors")
    assert_holds(tmp_path / "one.safetensors", tensors())
    index = write_sharded(tmp_path, named)
    assert_holds(index, tensors(), remap_bytes=10**9)


def write_sharded(folder: Path, named: dict[str, Tensor]) -> Path:
    weight_map = {}
    for number, (name, tensor) in enumerate(named.items()):
        shard = f"model-{number:05}.safetensors"
        save_file({name: tensor}, folder / shard)
        weight_map[name] = shard
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return index


@given(
    st.lists(st.sampled_from(["_fsdp_wrapped_module.", "_orig_mod.", "model."]), max_size=4),
    st.sampled_from(["patch_embedding.weight", "blocks.0.self_attn.q.weight"]),
)
def test_prefixes_in_any_number_and_order(prefixes: list[str], name: str) -> None:
    """however often a model was wrapped, its tensors keep their names."""
    assert bare_name("".join(prefixes) + name) == name
    assert bare_name("model.blocks.0._orig_mod.q._fsdp_wrapped_module.w") == "blocks.0.q.w"


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    """half a download of either kind is an error before anything is read."""
    save_file(tensors(), tmp_path / "whole.safetensors")
    torch.save(tensors(), tmp_path / "whole.pt")
    for suffix in (".safetensors", ".pt"):
        whole = (tmp_path / f"whole{suffix}").read_bytes()
        for part in (0, 5, len(whole) // 2, len(whole) - 3):
            half = tmp_path / f"half{suffix}"
            half.write_bytes(whole[:part])
            with pytest.raises(CheckpointError, match=r"half\.\w+ is (truncated|corrupt)"):
                open_checkpoint(half)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """a pickle of anything but tensors is not loaded; the answer names it, and no way round it."""

    class Command:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, ("exit 1",)

    for value, name in ((Fraction(1), "Fraction"), (Command(), r"\.system")):
        torch.save({"generator": value}, tmp_path / "model.pt")
        with pytest.raises(CheckpointError, match=f"corrupt or holds more than.*{name}") as caught:
            open_checkpoint(tmp_path / "model.pt")
        assert "Re-running" not in str(caught.value)


def test_plain_values_of_a_training_script_are_no_hindrance(tmp_path: Path) -> None:
    """arguments, paths, steps and losses of numpy beside the model; none of them is code."""
    kept = {
        "args": argparse.Namespace(rate=1e-4, out=tmp_path),
        "step": np.int64(700),
        "loss": [np.float32(0.5), np.float64(0.25)],
        "best": np.bool_(True),
    }
    torch.save({**kept, "state_dict": tensors()}, tmp_path / "model.ckpt")
    assert_holds(tmp_path / "model.ckpt", tensors())


def test_a_file_of_torch_before_1_6_is_read(tmp_path: Path) -> None:
    """it is no archive, so that nothing of it can be mapped."""
    path = tmp_path / "old.bin"
    torch.save({"generator": tensors()}, path, _use_new_zipfile_serialization=False)
    assert_holds(path, tensors())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="is corrupt"):
        open_checkpoint(path)


def test_what_stands_beside_tensors_is_named(tmp_path: Path) -> None:
    """a bare file with a counter in it is not a model."""
    torch.save({**tensors(), "step": 3}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="holds 'step', a int, beside its tensors"):
        open_checkpoint(tmp_path / "model.pt")


def test_two_names_for_one_tensor_are_refused(tmp_path: Path) -> None:
    """prefixes that collapse two tensors into one leave no way to choose."""
    save_file({"model.a": torch.zeros(1), "a": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="holds a twice"):
        open_checkpoint(tmp_path / "x.safetensors")


def test_a_missing_file_and_an_unknown_kind(tmp_path: Path) -> None:
    """what is not a checkpoint is refused."""
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        open_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "x.txt").write_bytes(b"123")
    with pytest.raises(CheckpointError, match=r"ends in '\.txt', it must be one of"):
        open_checkpoint(tmp_path / "x.txt")
    with pytest.raises(CheckpointError, match=r"is a folder, name the file of weights in it"):
        open_checkpoint(tmp_path)


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    """a safetensors file named .ckpt is read as it is; one of torch is told its right name."""
    save_file(tensors(), tmp_path / "one.ckpt")
    assert_holds(tmp_path / "one.ckpt", tensors())
    torch.save(tensors(), tmp_path / "two.pt")
    (tmp_path / "two.pt").rename(tmp_path / "two.safetensors")
    with pytest.raises(CheckpointError, match=r"rename it to end in \.pt"):
        open_checkpoint(tmp_path / "two.safetensors")


@pytest.mark.parametrize(
    ("weight_map", "text"),
    [
        ("not json", "is not the index of a sharded checkpoint"),
        ('{"other": 1}', "is not the index of a sharded checkpoint"),
        ('{"weight_map": {}}', "is not the index of a sharded checkpoint: its weight_map is empty"),
        ('{"weight_map": {"head.bias": "../secret"}}', "names secret, which is not beside it"),
        ('{"weight_map": {"head.bias": "gone.safetensors"}}', "names gone.safetensors"),
        (
            '{"weight_map": {"head.bias": "model-00000.safetensors"}}',
            "says that blocks.0.weight is in no shard, it is in model-00000.safetensors",
        ),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, weight_map: str, text: str) -> None:
    """shards are compared with what the index says of them."""
    index = write_sharded(tmp_path, tensors())
    index.write_text(weight_map)
    with pytest.raises(CheckpointError, match=text):
        open_checkpoint(index)
