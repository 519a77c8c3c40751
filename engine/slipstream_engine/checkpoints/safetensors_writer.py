"""Converts a checkpoint to one safetensors file, with one tensor in memory at a time.

The safetensors library writes only tensors that are all in memory, and a 14B model in float32 is
57 GB. The format has three parts: the header's length (8 bytes, little-endian), the header (JSON,
padded with spaces to a multiple of 8), the tensors' bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from slipstream_engine.atomic_file import atomic_write
from slipstream_engine.checkpoints.checkpoint import Checkpoint
from slipstream_engine.errors import CheckpointError

DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
HEADER_ALIGNMENT = 8

# called with the bytes written so far and the bytes in all
WriteProgress = Callable[[int, int], None]


def write_safetensors(
    checkpoint: Checkpoint, target: Path, *, dtype: torch.dtype | None, progress: WriteProgress
) -> None:
    """Write `checkpoint` to `target`, without the prefixes of training wrappers.

    `target` appears whole or not at all.

    Args:
        dtype: to store in; None keeps that of the checkpoint.

    Raises:
        CheckpointError: if a tensor has a dtype that no supported model has.
        OSError: if the disk is full.
    """
    dtypes = {name: dtype or entry.dtype for name, entry in checkpoint.entries.items()}
    _check_dtypes(checkpoint, dtypes)
    offsets, total_bytes = _layout(checkpoint, dtypes)
    header = _header(checkpoint, dtypes, offsets)
    done_bytes = 0
    with atomic_write(target) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, tensor in checkpoint.tensors():
            file.seek(8 + len(header) + offsets[name][0])
            stored = tensor.to(dtypes[name]).contiguous().flatten().view(torch.uint8)
            done_bytes += file.write(stored.numpy().data)
            progress(done_bytes, total_bytes)


def _check_dtypes(checkpoint: Checkpoint, dtypes: dict[str, torch.dtype]) -> None:
    for name, dtype in dtypes.items():
        if dtype not in DTYPE_NAMES:
            raise CheckpointError(
                f"{checkpoint.source} holds {name} as {dtype}, it must be one of "
                f"{', '.join(str(known) for known in DTYPE_NAMES)}"
            )


def _layout(
    checkpoint: Checkpoint, dtypes: dict[str, torch.dtype]
) -> tuple[dict[str, tuple[int, int]], int]:
    """Begin and end of every tensor in bytes; widest dtypes first, so that all are aligned."""
    offsets: dict[str, tuple[int, int]] = {}
    end = 0
    for name in sorted(dtypes, key=lambda name: -dtypes[name].itemsize):
        begin = end
        end += torch.Size(checkpoint.entries[name].shape).numel() * dtypes[name].itemsize
        offsets[name] = (begin, end)
    return offsets, end


def _header(
    checkpoint: Checkpoint,
    dtypes: dict[str, torch.dtype],
    offsets: dict[str, tuple[int, int]],
) -> bytes:
    described = {
        name: {
            "dtype": DTYPE_NAMES[dtypes[name]],
            "shape": list(checkpoint.entries[name].shape),
            "data_offsets": list(begin_end),
        }
        for name, begin_end in offsets.items()
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **described}).encode()
    return text + b" " * (-len(text) % HEADER_ALIGNMENT)
