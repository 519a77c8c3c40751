"""Opens checkpoint files without loading them: names and shapes first, tensors later.

A checkpoint is a safetensors file, a sharded one (named by its index JSON) or a `torch.save` file,
which is read with `weights_only` and so runs no code. Tensors are memory-mapped. The mapping is
renewed from time to time, which frees the pages of tensors that were copied elsewhere.
"""

import json
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from slipstream_engine.errors import CheckpointError

TensorShape = tuple[int, ...]

INDEX_SUFFIX = ".safetensors.index.json"
PICKLE_SUFFIXES = (".pt", ".pth")
CONTAINERS = (
    "generator",
    "generator_ema",
    "state_dict",
)  # keys under which training scripts save a model
LEADING_PREFIX = "model."
WRAPPER_PREFIXES = ("_fsdp_wrapped_module.", "_orig_mod.")  # also stand inside a name
REMAP_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Where one tensor is.

    Args:
        key: its name in the file, with the prefixes of training wrappers.
    """

    file: Path
    key: str
    shape: TensorShape
    dtype: torch.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The tensors of a model, by their names without the prefixes of training wrappers."""

    source: Path
    entries: Mapping[str, TensorEntry]

    @property
    def shapes(self) -> dict[str, TensorShape]:
        return {name: entry.shape for name, entry in self.entries.items()}

    def tensors(self, *, remap_bytes: int = REMAP_BYTES) -> Iterator[tuple[str, Tensor]]:
        """Iterate over all tensors in the order of the files; they are memory-mapped.

        Args:
            remap_bytes: how much of a file may stay in memory after its tensors are dropped.
        """
        for file in dict.fromkeys(entry.file for entry in self.entries.values()):
            mapped: Callable[[str], Tensor] | None = None
            mapped_bytes = 0
            for name, entry in self.entries.items():
                if entry.file != file:
                    continue
                if mapped is None or mapped_bytes >= remap_bytes:
                    mapped = None  # closes the old mapping before the new one opens
                    mapped, mapped_bytes = _map(file), 0
                tensor = mapped(entry.key)
                mapped_bytes += tensor.nbytes
                yield name, tensor
                del tensor


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the names and shapes of a checkpoint.

    Raises:
        CheckpointError: if there is none at `path`, or it is truncated or corrupt.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}, pull it or name another file")
    if path.name.endswith(INDEX_SUFFIX):
        entries = [entry for shard in _shards(path) for entry in _entries(shard)]
    else:
        entries = list(_entries(path))
    names = [bare_name(entry.key) for entry in entries]
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise CheckpointError(
            f"{path} holds {duplicates[0]} twice, under different prefixes or shards"
        )
    return Checkpoint(source=path, entries=dict(zip(names, entries, strict=True)))


def bare_name(key: str) -> str:
    """A tensor's name without the prefixes of training wrappers (`spec/01` section 2)."""
    for prefix in WRAPPER_PREFIXES:
        key = key.replace(prefix, "")
    while key.startswith(LEADING_PREFIX):
        key = key.removeprefix(LEADING_PREFIX)
    return key


def _shards(index: Path) -> list[Path]:
    """The files that an index JSON names; checks that they hold what it says."""
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        shards = {index.parent / name for name in weight_map.values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index} is not the index of a sharded checkpoint: {error}"
        ) from error
    absent = sorted(shard.name for shard in shards if not shard.is_file())
    if absent:
        raise CheckpointError(f"{index} names {absent[0]}, which is not beside it, pull it again")
    held = {entry.key: shard.name for shard in shards for entry in _entries(shard)}
    if held != weight_map:
        key = sorted(held.items() ^ weight_map.items())[0][0]
        raise CheckpointError(
            f"{index} says that {key} is in {weight_map.get(key, 'no shard')}, "
            f"it is in {held.get(key, 'no shard')}, pull it again"
        )
    return sorted(shards)


def _entries(file: Path) -> Iterator[TensorEntry]:
    if file.suffix == ".safetensors":
        with _open_safetensors(file) as opened:
            for key in opened.keys():  # noqa: SIM118  # not a mapping
                part = opened.get_slice(key)
                dtype = opened.get_tensor(key).dtype
                yield TensorEntry(file=file, key=key, shape=tuple(part.get_shape()), dtype=dtype)
    else:
        for key, tensor in _unpickle(file).items():
            yield TensorEntry(file=file, key=key, shape=tuple(tensor.shape), dtype=tensor.dtype)


def _map(file: Path) -> Callable[[str], Tensor]:
    if file.suffix == ".safetensors":
        return _open_safetensors(file).get_tensor  # type: ignore[no-any-return]  # no stubs
    return _unpickle(file).__getitem__


def _open_safetensors(file: Path) -> Any:  # the library has no stubs
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} is truncated or not a safetensors file, pull it again: {error}"
        ) from error


def _unpickle(file: Path) -> dict[str, Tensor]:
    """The tensors of a `torch.save` file, out of their container, memory-mapped."""
    if file.suffix not in PICKLE_SUFFIXES:
        raise CheckpointError(
            f"{file} ends in {file.suffix!r}, it must be one of .safetensors, {INDEX_SUFFIX}, "
            f"{', '.join(PICKLE_SUFFIXES)}"
        )
    if not zipfile.is_zipfile(file):
        raise CheckpointError(f"{file} is truncated or not a torch.save file, pull it again")
    try:
        loaded = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is corrupt or holds more than tensors, pull it again: {_reason(error)}"
        ) from error
    return _state_dict(loaded, file)


def _reason(error: Exception) -> str:
    """The line of torch's message that names the problem.

    The other lines advise to read the file in a way that runs its code.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, pickle.UnpicklingError):
        lines = [line for line in lines if "GLOBAL" in line or "Unpickler error" in line]
    return lines[0] if lines else type(error).__name__


def _state_dict(loaded: object, file: Path) -> dict[str, Tensor]:
    if isinstance(loaded, dict):
        loaded = next((loaded[key] for key in CONTAINERS if key in loaded), loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{file} holds a {type(loaded).__name__}, it must hold named tensors")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{file} holds {key!r}, a {type(value).__name__}, beside its tensors; it must hold "
                f"named tensors alone, or have them under one of {', '.join(CONTAINERS)}"
            )
    return loaded
