"""The tensors of the real checkpoints, as they were listed from the reference's classes."""

import json
from pathlib import Path

from torch import nn

KEYS = Path(__file__).parents[1] / "golden" / "keys"


def real_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a real checkpoint."""
    keys = json.loads((KEYS / f"{name}.json").read_text())["keys"]
    return {key: tuple(shape) for key, shape in keys.items()}


def own_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
