"""Linear layers that use all of a CPU, of any vendor.

For float32 torch calls MKL, which runs its AVX-512 kernels on Intel's CPUs only. oneDNN, which
comes with torch, too, picks its kernels by what the CPU can do: on an AMD EPYC with AVX-512 it
takes half the time, and it applies the GELU on the way. Its operator has no derivative and no use
for other dtypes, so training, GPUs and bfloat16 keep torch's own way.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear`, the same numbers but for rounding."""

    def forward(self, x: Tensor) -> Tensor:
        if self._has_onednn(x):
            return _onednn(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)

    def gelu(self, x: Tensor) -> Tensor:
        """GELU (by tanh) of the layer's output."""
        if self._has_onednn(x):
            return _onednn(x, self.weight, self.bias, "gelu", [], "tanh")
        return F.gelu(super().forward(x), approximate="tanh")

    def _has_onednn(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == torch.float32 == self.weight.dtype
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and not torch.compiler.is_compiling()  # a compiler makes the same choice, and more
            and torch.backends.mkldnn.is_available()
            and self.weight.is_contiguous()  # others are reordered number by number
        )


def _onednn(
    x: Tensor, weight: Tensor, bias: Tensor | None, unary: str, scalars: list[float], algorithm: str
) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, unary, scalars, algorithm)
    return out
