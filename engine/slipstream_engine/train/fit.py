"""The training loop: fixed number of steps, cosine schedule, averaged weights, checkpoints.

Every step draws its data from a generator of (seed, step), so a resumed run sees the same data as
an uninterrupted one.
"""

import math
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from slipstream_engine.atomic_file import atomic_path, atomic_write
from slipstream_engine.device.precision import reduced_precision_matmul

Loss = Callable[[int, np.random.Generator], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long and how fast.

    Args:
        steps: optimiser steps in all.
        rate, floor: of learning, at its peak and as a share of it at the end.
        average: decay of the averaged weights.
        log_every, save_every: steps between loss lines and between checkpoints.
    """

    steps: int
    rate: float
    floor: float = 0.02
    warm_up: int = 40
    clip: float = 1.0
    average: float = 0.99
    log_every: int = 50
    save_every: int = 200
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of `step`: a ramp up, then half a cosine down to `floor`."""
        ramp = min(1.0, (step + 1) / self.warm_up)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * ramp * (self.floor + (1 - self.floor) * cosine)


class Average:
    """A moving average of a model's weights; the average is what is saved in the end."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, p in model.named_parameters():
            self.weights[name].lerp_(p, 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        for name, p in model.named_parameters():
            p.copy_(self.weights[name])


def fit(name: str, model: nn.Module, loss: Loss, recipe: Recipe, checkpoint: Path) -> list[float]:
    """Train `model`'s parameters that want a gradient; at the end it holds their average.

    Args:
        name: of the stage, in the lines that are printed.
        loss: of one step, given its number and its own generator.
        checkpoint: where to save, and to go on from if it is there.

    Returns:
        The mean loss of every `log_every` steps.

    Raises:
        ValueError: if the checkpoint is of another model or recipe.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=recipe.rate, betas=(0.9, 0.95), weight_decay=0.01)
    average = Average(model, recipe.average)
    first, curve = _resume(checkpoint, model, optimiser, average, recipe)
    began, recent = time.monotonic(), []
    for step in range(first, recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(step)
        optimiser.zero_grad(set_to_none=True)
        with reduced_precision_matmul():
            value = loss(step, np.random.default_rng([recipe.seed, step]))
            value.backward()  # torch leaves this one untyped
        nn.utils.clip_grad_norm_(trained, recipe.clip)
        optimiser.step()
        average.update(model, step)
        recent.append(float(value.detach()))
        if (step + 1) % recipe.log_every == 0 or step + 1 == recipe.steps:
            curve.append(float(np.mean(recent)))
            recent.clear()
            pace_s = (time.monotonic() - began) / (step + 1 - first)
            print(
                f"{name}: step {step + 1}/{recipe.steps} loss {curve[-1]:.5f} {pace_s:.3f} s/step",
                flush=True,
            )
        if (step + 1) % recipe.save_every == 0 or step + 1 == recipe.steps:
            _save(checkpoint, model, optimiser, average, recipe, step + 1, curve)
    average.copy_to(model)
    return curve


def _save(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average,
    recipe: Recipe,
    step: int,
    curve: list[float],
) -> None:
    content = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average.weights,
        "recipe": asdict(recipe),
        "step": step,
        "curve": curve,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        torch.save(content, file)


def _resume(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average,
    recipe: Recipe,
) -> tuple[int, list[float]]:
    """Resume from `path` if it exists.

    Returns:
        The step to start with and the losses so far.
    """
    if not path.is_file():
        return 0, []
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is damaged, remove it to begin this stage anew") from error
    shapes = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    if content["recipe"] != asdict(recipe) or shapes != {
        name: tuple(p.shape) for name, p in content["model"].items()
    }:
        raise ValueError(f"{path} is of another model or recipe, remove it or choose another --out")
    model.load_state_dict(content["model"])
    optimiser.load_state_dict(content["optimiser"])
    for name, weight in content["average"].items():
        average.weights[name].copy_(weight)
    print(f"going on from step {content['step']} of {path}", flush=True)
    return int(content["step"]), list(content["curve"])


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all."""
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata=None if metadata is None else dict(metadata))
        partial.chmod(0o644)  # safetensors writes for its owner only


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `weights` in half precision as safetensors, whole or not at all.

    Raises:
        ValueError: if a weight is not a finite number.
    """
    half = {name: w.detach().cpu().to(torch.float16).contiguous() for name, w in weights.items()}
    for name, w in half.items():
        if not torch.isfinite(w).all():
            raise ValueError(
                f"{name} holds a value that half precision cannot, {path} is left as it was"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, half, metadata)
