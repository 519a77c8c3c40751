"""One file of tensors: safetensors or `torch.save`, told apart by content, memory-mapped.

A `torch.save` file is read with `weights_only`, and so runs no code.
"""

import argparse
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from slipstream_engine.checkpoints.naming import CONTAINERS
from slipstream_engine.errors import CheckpointError

INDEX_SUFFIX = ".index.json"  # after .safetensors or .bin
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SAFETENSORS_SUFFIX = ".safetensors"
# plain values that training scripts keep beside a model: arguments, paths, steps, losses
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: tuple[Any, ...] = (
    argparse.Namespace,
    PosixPath,
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)},
    *((_NUMPY_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
)
_DAMAGE = (  # what torch runs into
    *(RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError),
    *(LookupError, TypeError, AttributeError, AssertionError),
)
_MAGIC_BEFORE_1_6 = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # a pickled number


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Shape and dtype of a tensor as the file has it."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class TensorFile(Protocol):
    """An open file.

    Args:
        form: what kind of file it is, for people.
    """

    form: tuple[str, ...]

    def stored(self) -> Iterator[tuple[str, StoredTensor]]:
        """Every tensor by its key, without reading any."""
        ...

    def tensor(self, key: str) -> Tensor:
        """One tensor, memory-mapped."""
        ...


class SafetensorsFile:
    """A safetensors file.

    Raises:
        CheckpointError: if it is truncated, or none.
    """

    def __init__(self, file: Path) -> None:
        self.form: tuple[str, ...] = ("safetensors",)
        try:
            self._opened: Any = safe_open(file, framework="pt")  # the library has no stubs
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{file} is truncated or not a safetensors file, pull it again: {error}"
            ) from error

    def stored(self) -> Iterator[tuple[str, StoredTensor]]:
        for key in self._opened.keys():  # noqa: SIM118  # not a mapping
            shape = tuple(self._opened.get_slice(key).get_shape())
            yield key, StoredTensor(shape=shape, dtype=self._opened.get_tensor(key).dtype)

    def tensor(self, key: str) -> Tensor:
        return self._opened.get_tensor(key)  # type: ignore[no-any-return]


class TorchFile:
    """A `torch.save` file: named tensors, alone or under a key of a training script.

    Raises:
        CheckpointError: if it is truncated, or holds anything but tensors and plain values.
    """

    def __init__(self, file: Path) -> None:
        is_mapped = zipfile.is_zipfile(file)
        if not is_mapped and not _is_of_before_1_6(file):
            raise CheckpointError(f"{file} is truncated or not a torch.save file, pull it again")
        try:
            with torch.serialization.safe_globals(list(_HARMLESS)):
                loaded = torch.load(file, map_location="cpu", mmap=is_mapped, weights_only=True)
        except _DAMAGE as error:
            raise CheckpointError(
                f"{file} is corrupt or holds more than tensors, pull it again, or save the model's "
                f"state_dict alone: {_reason(error)}"
            ) from error
        path: list[str] = []
        while isinstance(loaded, dict):
            key = next((k for k in CONTAINERS if isinstance(loaded.get(k), dict)), None)
            if key is None:
                break
            path.append(key)
            loaded = loaded[key]
        self._tensors = _named_tensors(loaded, file)
        self.form: tuple[str, ...] = ("torch.save", *([f"under {'.'.join(path)}"] if path else ()))

    def stored(self) -> Iterator[tuple[str, StoredTensor]]:
        for key, tensor in self._tensors.items():
            yield key, StoredTensor(shape=tuple(tensor.shape), dtype=tensor.dtype)

    def tensor(self, key: str) -> Tensor:
        return self._tensors[key]


def open_tensor_file(file: Path) -> TensorFile:
    """Open a file by its content; by its suffix where too little is left of it.

    Raises:
        CheckpointError: if it is of neither kind, or damaged.
    """
    with file.open("rb") as opened:
        head = opened.read(9)
    if head.startswith(b"GGUF"):
        raise CheckpointError(
            f"{file} is a GGUF file, quantised in a scheme that cannot be undone here, choose the "
            "file in bfloat16, float16 or float32"
        )
    if head.startswith(b"PK"):
        if file.suffix == SAFETENSORS_SUFFIX:  # torch would go by that
            raise CheckpointError(
                f"{file} is a torch.save file under a wrong name, rename it to end in .pt"
            )
        return TorchFile(file)
    if head[8:] == b"{" or file.suffix == SAFETENSORS_SUFFIX:
        return SafetensorsFile(file)
    if file.suffix in TORCH_SUFFIXES:
        return TorchFile(file)
    raise CheckpointError(
        f"{file} ends in {file.suffix!r}, it must be one of {SAFETENSORS_SUFFIX}, {INDEX_SUFFIX}, "
        f"{', '.join(TORCH_SUFFIXES)}"
    )


def _is_of_before_1_6(file: Path) -> bool:
    """Whether torch before 1.6 has saved it, which cannot be mapped but read as a whole."""
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC_BEFORE_1_6)) == _MAGIC_BEFORE_1_6


def _reason(error: Exception) -> str:
    """The line of torch's message that names the problem.

    The other lines advise to read the file in a way that runs its code.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, pickle.UnpicklingError):
        lines = [line for line in lines if "GLOBAL" in line or "Unpickler error" in line]
    return lines[0] if lines else type(error).__name__


def _named_tensors(loaded: object, file: Path) -> Mapping[str, Tensor]:
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{file} holds a {type(loaded).__name__}, it must hold named tensors")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{file} holds {key!r}, a {type(value).__name__}, beside its tensors; it must hold "
                f"named tensors alone, or have them under one of {', '.join(CONTAINERS)}"
            )
    return loaded
