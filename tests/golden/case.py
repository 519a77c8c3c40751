"""One golden case: description, tensors, weights; and what a replay of it returns."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case of a directory: NAME.json, mostly NAME.safetensors, and `weights/`."""

    name: str
    directory: Path

    @cached_property
    def description(self) -> dict[str, Any]:
        """The case's JSON."""
        content: dict[str, Any] = json.loads((self.directory / f"{self.name}.json").read_text())
        return content

    @property
    def family(self) -> str:
        return str(self.description["family"])

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.description["config"]
        return config

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Name and description of every tensor that a replay must return."""
        tensors: dict[str, dict[str, Any]] = self.description.get("tensors", {})
        return {name: tensor for name, tensor in tensors.items() if tensor["role"] == "output"}

    @cached_property
    def _stored(self) -> dict[str, Tensor]:
        return load_file(self.directory / f"{self.name}.safetensors")

    def tensor(self, name: str) -> Tensor:
        """An input, a noise draw or an expected output."""
        described = self.description["tensors"][name]
        return self._stored[described.get("same_as", name)]

    def has(self, name: str) -> bool:
        return name in self.description["tensors"]

    def weights(self, prefix: str = "") -> dict[str, Tensor]:
        """The state dict of the model whose weights the case lists under `prefix`, in float32."""
        stored = load_file(self.directory / self.description["weights"][prefix])
        return {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in stored.items()
        }


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The results of our code on a case.

    Args:
        tensors: by their names in the case.
        left_out: pattern of names (`kv.*`) -> why our code does not compute them.
        claims: other statements that must hold -> whether they do.
        notes: figures worth printing.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of one case.

    Args:
        worst: largest error over its tolerance among all tensors compared.
        faults: what is wrong, in words; empty is a pass.
        left_out: names of tensors not compared -> reason.
    """

    name: str
    compared: int
    worst: float
    faults: tuple[str, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def is_pass(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        line = f"{self.name:36} {self.worst:9.3g}  "
        reasons = "; ".join(
            f"{', '.join(names)}: {reason}" for reason, names in self._by_reason().items()
        )
        if self.faults:
            line += "fail: " + "; ".join(self.faults)
        elif not self.compared:
            line += f"not reproduced: {reasons}"
        else:
            line += f"pass ({self.compared})" + (f", not reproduced: {reasons}" if reasons else "")
        return line + "".join(f"\n{'':36} {note}" for note in self.notes)

    def _by_reason(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            found.setdefault(reason, []).append(name)
        return found


def judge(case: Case, replay: Replay) -> Verdict:
    """Compare every output with the replay; one that is not left out with a reason is a fault."""
    worst = 0.0
    compared = 0
    faults = [claim for claim, holds in replay.claims.items() if not holds]
    left_out: dict[str, str] = {}
    for name, described in case.outputs.items():
        if name in replay.tensors:
            ratio = _error_ratio(replay.tensors[name], case.tensor(name), described)
            worst = max(worst, ratio)
            compared += 1
            if not ratio <= 1:
                faults.append(f"{name} is off by {ratio:.3g} of its tolerance")
            continue
        reason = next(
            (why for pattern, why in replay.left_out.items() if fnmatchcase(name, pattern)), None
        )
        if reason is None:
            faults.append(f"{name} was not computed")
        else:
            left_out[name] = reason
    compared += len(replay.claims)
    return Verdict(
        name=case.name,
        compared=compared,
        worst=worst,
        faults=tuple(faults),
        left_out=left_out if case.outputs else dict(replay.left_out),
        notes=replay.notes,
    )


def _error_ratio(ours: Tensor, expected: Tensor, described: Mapping[str, Any]) -> float:
    """Largest difference over the tolerance; infinite where shapes or exact numbers differ."""
    if ours.shape != expected.shape:
        return math.inf
    if described.get("exact"):
        return 0.0 if torch.equal(ours.to(expected.dtype), expected) else math.inf
    if not expected.numel():
        return 0.0
    error = (ours.double() - expected.double()).abs().amax().item()
    if math.isnan(error):
        return math.inf
    tolerance = described["atol"]
    if not tolerance:  # all zeros: nothing but zeros is right
        return math.inf if error else 0.0
    return float(error / tolerance)
