"""Loads a checkpoint into a module: strictly, one tensor at a time, with a cast of the dtype.

The module is built on the meta device, so it takes no memory before its tensors are read; names and
shapes are compared before that.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from slipstream_engine.checkpoints.checkpoint import (
    REMAP_BYTES,
    Checkpoint,
    TensorShape,
    open_checkpoint,
)
from slipstream_engine.errors import CheckpointError

logger = logging.getLogger(__name__)

ModuleT = TypeVar("ModuleT", bound=nn.Module)

MAX_LISTED_PROBLEMS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SurplusRows:
    """Tensors that may have more rows in a checkpoint than in the module; the last rows are used.

    Args:
        names: pattern that must match a tensor's whole name.
    """

    names: re.Pattern[str]

    def may_cut(self, name: str, found: TensorShape, expected: TensorShape) -> bool:
        """Whether the first rows of a tensor of shape `found` may be dropped."""
        same_row = len(found) == len(expected) > 0 and found[1:] == expected[1:]
        return same_row and found[0] > expected[0] and self.names.fullmatch(name) is not None


NO_SURPLUS = SurplusRows(names=re.compile(r"(?!)"))
# TAEHV files may hold a temporal upsampling of more frames than a model uses (`spec/05` section 8)
TAEHV_SURPLUS = SurplusRows(names=re.compile(r"decoder\.\d+\.conv\.weight"))


def load_module(
    build: Callable[[], ModuleT],
    source: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    surplus: SurplusRows = NO_SURPLUS,
    remap_bytes: int = REMAP_BYTES,
    is_wanted: Callable[[str], bool] = lambda name: True,
) -> ModuleT:
    """Build a module and fill it from a checkpoint.

    On the CPU, tensors that need no cast stay mapped to the file. Buffers that no checkpoint holds
    keep their dtype; the module must create them on a real device, whatever the default device is.

    Args:
        build: constructs the module.
        remap_bytes: how much of a file may stay in memory after its tensors are copied.
        is_wanted: whether to read a tensor of that name; others stay on the meta device.

    Raises:
        CheckpointError: if the file is of another model, is damaged, or holds NaN or infinity.
    """
    checkpoint = open_checkpoint(source)
    with torch.device("meta"):
        module = build()
    shapes = shapes_of(module)
    check_shapes(checkpoint, shapes, surplus=surplus)
    logger.info("%s: %s", source, checkpoint.form)
    for name, mapped in checkpoint.tensors(remap_bytes=remap_bytes):
        if not is_wanted(name):
            continue
        kept = mapped if mapped.shape == shapes[name] else mapped[-shapes[name][0] :]
        tensor = kept.to(device=device, dtype=dtype)
        _check_finite(name, tensor, source)
        _assign(module, name, tensor)
    _move_constants(module, device)
    return module.eval()


def make_module(
    build: Callable[[], ModuleT],
    tensor_of: Callable[[str, TensorShape], Tensor],
    *,
    device: torch.device,
    is_wanted: Callable[[str], bool] = lambda name: True,
) -> ModuleT:
    """Build a module and fill it from a function, without a checkpoint.

    Args:
        tensor_of: returns the tensor of a name and a shape, on `device`.
        is_wanted: whether to fill a tensor of that name; others stay on the meta device.
    """
    with torch.device("meta"):
        module = build()
    for name, shape in shapes_of(module).items():
        if is_wanted(name):
            _assign(module, name, tensor_of(name, shape))
    _move_constants(module, device)
    return module.eval()


def check_checkpoint(
    build: Callable[[], nn.Module], source: Path, *, surplus: SurplusRows = NO_SURPLUS
) -> Checkpoint:
    """Open a checkpoint and compare its header with the module of `build`; reads no tensor.

    Raises:
        CheckpointError: if there is no such file, or it is damaged or of another model.
    """
    checkpoint = open_checkpoint(source)
    with torch.device("meta"):
        shapes = shapes_of(build())
    check_shapes(checkpoint, shapes, surplus=surplus)
    return checkpoint


def shapes_of(module: nn.Module) -> dict[str, TensorShape]:
    """Name and shape of every tensor that `module` takes from a checkpoint."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def check_shapes(
    checkpoint: Checkpoint, shapes: Mapping[str, TensorShape], *, surplus: SurplusRows = NO_SURPLUS
) -> None:
    """Compare names and shapes; reads no tensor.

    Raises:
        CheckpointError: if a tensor is missing, unexpected or of another shape; it lists the first
            ten. Also if one holds integers: quantised weights mean nothing without their scales.
    """
    found = checkpoint.shapes
    problems = [
        f"{name}: the file has {_show(found.get(name))}, the model wants {_show(shapes.get(name))}"
        for name in {**shapes, **found}
        if found.get(name) != shapes.get(name)
        and not surplus.may_cut(name, found.get(name, ()), shapes.get(name, ()))
    ]
    if not problems:
        _check_floating(checkpoint)
        return
    listed = problems[:MAX_LISTED_PROBLEMS]
    if len(problems) > len(listed):
        listed.append(f"and {len(problems) - len(listed)} more")
    raise CheckpointError(
        f"{checkpoint.source} is not a checkpoint of this model: it holds {len(found)} tensors, "
        f"{len(shapes)} are wanted, {len(problems)} do not fit; choose the file of this preset"
        + "".join(f"\n  {line}" for line in listed)
    )


def _check_floating(checkpoint: Checkpoint) -> None:
    for name, entry in checkpoint.entries.items():
        if not entry.dtype.is_floating_point:
            raise CheckpointError(
                f"{checkpoint.source} holds {name} as {entry.dtype}, quantised weights cannot be "
                "used, choose the file in bfloat16, float16 or float32"
            )


def _show(shape: TensorShape | None) -> str:
    return "nothing" if shape is None else str(list(shape))


def _check_finite(name: str, tensor: Tensor, source: Path) -> None:
    """Check minimum and maximum: a NaN is in both, so no mask of the tensor's size is needed."""
    if tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():
        raise CheckpointError(
            f"{source} holds NaN or infinity in {name} as {tensor.dtype}, pull it again or "
            "choose a wider dtype"
        )


def _assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    is_parameter = leaf in dict(owner.named_parameters(recurse=False))
    setattr(owner, leaf, nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor)


def _move_constants(module: nn.Module, device: torch.device) -> None:
    """Move the buffers that no checkpoint holds to `device`."""
    for owner in module.modules():
        for leaf, buffer in owner.named_buffers(recurse=False):
            assert not buffer.is_meta, f"{type(owner).__name__}.{leaf} was made on the meta device"
            setattr(owner, leaf, buffer.to(device))
