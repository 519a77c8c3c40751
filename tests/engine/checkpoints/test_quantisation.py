"""Quantised checkpoints are made whole exactly, or refused by the name of what they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from slipstream_engine.checkpoints.checkpoint import open_checkpoint
from slipstream_engine.errors import CheckpointError
from torch import Tensor


def write(folder: Path, **tensors: Tensor) -> Path:
    path = folder / "model.safetensors"
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("suffix", ["scale_weight", "weight_scale"])
@pytest.mark.parametrize("shape", [(), (1,), (6,), (6, 1)])
def test_float8_with_scales(
    tmp_path: Path, dtype: torch.dtype, suffix: str, shape: tuple[int, ...]
) -> None:
    """Weight times scale, of the matrix or of each row, whatever marks stand beside them."""
    stored = torch.randn(6, 4).to(dtype)
    scale = torch.rand(shape) + 0.5
    path = write(
        tmp_path,
        model__diffusion_model__a__weight=stored,
        model__diffusion_model__a__bias=torch.ones(6).bfloat16(),
        model__diffusion_model__scaled_fp8=torch.zeros(2).to(dtype),
        model__diffusion_model__a__scale_input=torch.ones(()),
        **{f"model__diffusion_model__a__{suffix}": scale},
    )
    checkpoint = open_checkpoint(path)
    assert checkpoint.shapes == {"a.weight": (6, 4), "a.bias": (6,)}
    found = dict(checkpoint.tensors(remap_bytes=1))
    rows = scale.reshape(-1, 1) if scale.ndim else scale
    assert torch.equal(found["a.weight"], stored.float() * rows)
    assert checkpoint.entries["a.weight"].dtype == found["a.weight"].dtype == torch.float32
    assert "1 tensors de-quantised by their scales" in checkpoint.form
    assert "float8" in checkpoint.form


def test_float8_alone_is_a_cast(tmp_path: Path) -> None:
    """Float8 without a scale stands for itself."""
    stored = torch.randn(6, 4).to(torch.float8_e4m3fn)
    found = dict(open_checkpoint(write(tmp_path, a__weight=stored)).tensors())
    assert torch.equal(found["a.weight"].float(), stored.float())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a__weight_scale_inv", "float8 in blocks"),
        ("a__weight__absmax", "bitsandbytes"),
        ("a__qweight", "GPTQ"),
        ("a__weight___data", "optimum-quanto"),
        ("blocks__0__q__lora_A__weight", "a LoRA, a change to a model"),
        ("diffusion_model__blocks__0__q__lora_up__weight", "a LoRA, a change to a model"),
    ],
)
def test_what_cannot_be_undone_is_named(tmp_path: Path, name: str, said: str) -> None:
    """Each scheme is refused by its name, with a tensor that shows it and what to choose."""
    with pytest.raises(CheckpointError, match=said) as caught:
        open_checkpoint(write(tmp_path, **{name: torch.zeros(2, 2)}))
    assert "in bfloat16, float16 or float32" in str(caught.value)


def test_gguf_is_named(tmp_path: Path) -> None:
    """A GGUF file is known by its content."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CheckpointError, match="is a GGUF file"):
        open_checkpoint(path)
