"""Conversion keeps every number, and leaves a whole file or none."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from slipstream_engine.checkpoints.checkpoint import open_checkpoint
from slipstream_engine.checkpoints.safetensors_writer import write_safetensors
from slipstream_engine.errors import CheckpointError

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def ignore(done_bytes: int, total_bytes: int) -> None:
    pass


@settings(max_examples=30, deadline=None)
@given(
    kinds=st.lists(
        st.tuples(DTYPES, st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=6
    ),
    dtype=st.none() | DTYPES,
)
def test_the_library_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[tuple[torch.dtype, list[int]]],
    dtype: torch.dtype | None,
) -> None:
    """names lose their prefix, numbers keep their value, whatever the shapes and dtypes."""
    folder = tmp_path_factory.mktemp("convert")
    tensors = {
        f"model.t{number}": torch.randn(shape).to(kind)
        for number, (kind, shape) in enumerate(kinds)
    }
    torch.save({"generator": tensors}, folder / "model.pt")
    seen: list[tuple[int, int]] = []
    write_safetensors(
        open_checkpoint(folder / "model.pt"),
        folder / "model.safetensors",
        dtype=dtype,
        progress=lambda done, total: seen.append((done, total)),
    )
    read = load_file(folder / "model.safetensors")
    assert read.keys() == {name.removeprefix("model.") for name in tensors}
    for name, tensor in tensors.items():
        stored = read[name.removeprefix("model.")]
        assert stored.dtype == (dtype or tensor.dtype)
        assert torch.equal(stored, tensor.to(stored.dtype))
    assert seen[-1][0] == seen[-1][1] == sum(tensor.nbytes for tensor in read.values())
    assert open_checkpoint(folder / "model.safetensors").shapes.keys() == read.keys()


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """work that breaks off changes nothing and leaves nothing behind."""
    torch.save({"a": torch.zeros(3), "b": torch.zeros(3)}, tmp_path / "model.pt")
    target = tmp_path / "model.safetensors"
    target.write_bytes(b"old")

    def break_off(done_bytes: int, total_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_safetensors(
            open_checkpoint(tmp_path / "model.pt"), target, dtype=None, progress=break_off
        )
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "model.safetensors"]


def test_numbers_that_no_model_has_are_refused(tmp_path: Path) -> None:
    """an integer tensor is not a weight."""
    torch.save({"a": torch.zeros(3, dtype=torch.int64)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"holds a as torch\.int64, it must be one of"):
        write_safetensors(
            open_checkpoint(tmp_path / "model.pt"),
            tmp_path / "x.safetensors",
            dtype=None,
            progress=ignore,
        )
