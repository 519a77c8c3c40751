"""Opens checkpoints without loading them: names and shapes first, tensors later.

A checkpoint is a file of tensors, or a sharded one, named by its index JSON. Tensors are
memory-mapped. The mapping is renewed from time to time, which frees the pages of tensors that were
copied elsewhere.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from slipstream_engine.checkpoints.naming import name_tensors
from slipstream_engine.checkpoints.quantisation import TensorKind, find_quantisation
from slipstream_engine.checkpoints.tensor_file import (
    INDEX_SUFFIX,
    TensorFile,
    open_tensor_file,
)
from slipstream_engine.errors import CheckpointError

TensorShape = tuple[int, ...]

REMAP_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Where one tensor is.

    Args:
        key: its name in the file, with the prefixes of training wrappers.
        dtype: that it is read in; of a quantised one float32.
        scale: what a quantised one is to be multiplied with.
    """

    file: Path
    key: str
    shape: TensorShape
    dtype: torch.dtype
    scale: "TensorEntry | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The tensors of a model, by their names without the prefixes of training wrappers.

    Args:
        form: what kind of file was found, and how it was read; one line.
    """

    source: Path
    entries: Mapping[str, TensorEntry]
    form: str = ""

    @property
    def shapes(self) -> dict[str, TensorShape]:
        return {name: entry.shape for name, entry in self.entries.items()}

    def tensors(self, *, remap_bytes: int = REMAP_BYTES) -> Iterator[tuple[str, Tensor]]:
        """Iterate over all tensors in the order of the files; they are memory-mapped.

        Args:
            remap_bytes: how much of a file may stay in memory after its tensors are dropped.
        """
        scales = self._scales()
        for file in dict.fromkeys(entry.file for entry in self.entries.values()):
            mapped: TensorFile | None = None
            mapped_bytes = 0
            for name, entry in self.entries.items():
                if entry.file != file:
                    continue
                if mapped is None or mapped_bytes >= remap_bytes:
                    mapped = None  # closes the old mapping before the new one opens
                    mapped, mapped_bytes = open_tensor_file(file), 0
                tensor = mapped.tensor(entry.key)
                mapped_bytes += tensor.nbytes
                if name in scales:
                    tensor = tensor.float() * scales[name]
                yield name, tensor
                del tensor

    def _scales(self) -> dict[str, Tensor]:
        """The scale of each quantised tensor, in float32 and a shape that multiplies its rows."""
        scales: dict[str, Tensor] = {}
        opened: dict[Path, TensorFile] = {}
        for name, entry in self.entries.items():
            if entry.scale is None:
                continue
            file = entry.scale.file
            opened.setdefault(file, open_tensor_file(file))
            scale = opened[file].tensor(entry.scale.key).float().flatten()
            scales[name] = scale.reshape(-1, *[1] * (len(entry.shape) - 1)).clone()
        return scales


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the names and shapes of a checkpoint.

    Raises:
        CheckpointError: if there is none at `path`, it is truncated or corrupt, or it is quantised
            in a way that cannot be undone.
    """
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder, name the file of weights in it, or the {INDEX_SUFFIX} of several"
        )
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}, pull it or name another file")
    files = _shards(path) if path.name.endswith(INDEX_SUFFIX) else [path]
    opened = {file: open_tensor_file(file) for file in files}
    keys = [(file, key, tensor) for file, shard in opened.items() for key, tensor in shard.stored()]
    naming = name_tensors(key for _, key, _ in keys)
    entries = [
        (naming.names[key], TensorEntry(file=file, key=key, shape=stored.shape, dtype=stored.dtype))
        for file, key, stored in keys
        if key in naming.names
    ]
    duplicates = [name for name, count in Counter(n for n, _ in entries).items() if count > 1]
    if duplicates:
        raise CheckpointError(
            f"{path} holds {duplicates[0]} twice, under different prefixes or shards"
        )
    found = dict(entries)
    form = [*next(iter(opened.values())).form, *naming.form, *_dtypes_of(found)]
    if len(files) > 1:
        form[0] += f" in {len(files)} files"
    found, quantised = _without_quantisation(path, found)
    if quantised:
        form.append(f"{quantised} tensors de-quantised by their scales")
    return Checkpoint(source=path, entries=found, form=", ".join(form))


def _without_quantisation(
    path: Path, entries: Mapping[str, TensorEntry]
) -> tuple[dict[str, TensorEntry], int]:
    """The model's own tensors, the quantised ones with their scales, and how many these are."""
    quantisation = find_quantisation(
        {name: TensorKind(shape=e.shape, dtype=_name(e.dtype)) for name, e in entries.items()}
    )
    if quantisation.refusal:
        raise CheckpointError(
            f"{path} is {quantisation.refusal}: that cannot be used, choose the whole model's file "
            "in bfloat16, float16 or float32"
        )
    kept: dict[str, TensorEntry] = {}
    for name, entry in entries.items():
        if name in quantisation.scales:
            kept[name] = TensorEntry(
                file=entry.file,
                key=entry.key,
                shape=entry.shape,
                dtype=torch.float32,
                scale=entries[quantisation.scales[name]],
            )
        elif name not in quantisation.unused:
            kept[name] = entry
    return kept, len(quantisation.scales)


def _dtypes_of(entries: Mapping[str, TensorEntry]) -> list[str]:
    """The dtypes that hold most of the numbers, most first."""
    numbers: Counter[str] = Counter()
    for entry in entries.values():
        numbers[_name(entry.dtype)] += torch.Size(entry.shape).numel()
    return [" and ".join(name for name, _ in numbers.most_common(2))]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _shards(index: Path) -> list[Path]:
    """The files that an index JSON names; checks that they hold what it says."""
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        shards = {index.parent / name for name in weight_map.values()}
        if not shards:
            raise ValueError("its weight_map is empty")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index} is not the index of a sharded checkpoint: {error}"
        ) from error
    absent = sorted(shard.name for shard in shards if not shard.is_file())
    if absent:
        raise CheckpointError(f"{index} names {absent[0]}, which is not beside it, pull it again")
    held = {key: shard.name for shard in shards for key, _ in open_tensor_file(shard).stored()}
    if held != weight_map:
        key = sorted(held.items() ^ weight_map.items())[0][0]
        raise CheckpointError(
            f"{index} says that {key} is in {weight_map.get(key, 'no shard')}, "
            f"it is in {held.get(key, 'no shard')}, pull it again"
        )
    return sorted(shards)
