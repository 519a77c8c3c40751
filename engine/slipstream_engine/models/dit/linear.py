"""Linear layers that use all of a CPU, of any vendor.

For float32 torch calls MKL, which runs its AVX-512 kernels on Intel's CPUs only. oneDNN, which
comes with torch, too, picks its kernels by what the CPU can do: on an AMD EPYC with AVX-512 it
takes half the time, and it applies the GELU on the way. With AVX2 its GELU takes three times as
long as the product, so there the GELU is a pass of its own. Its operator has no derivative and no
use for other dtypes, so training, GPUs and bfloat16 keep torch's own way.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOW_GELU = "AVX2"  # the capability with which oneDNN's is slower than a pass of its own
_TANH_SCALE, _CUBIC = math.sqrt(2 / math.pi), 0.044715


class Linear(nn.Linear):
    """`nn.Linear`, the same numbers but for rounding."""

    def forward(self, x: Tensor) -> Tensor:
        if self._has_onednn(x):
            return _onednn(x, self.weight, self.bias, "none", [], "")
        return super().forward(x)

    def gelu(self, x: Tensor) -> Tensor:
        """GELU (by tanh) of the layer's output."""
        if self._has_onednn(x):
            if torch.backends.cpu.get_cpu_capability() == _SLOW_GELU:
                return gelu_(_onednn(x, self.weight, self.bias, "none", [], ""))
            return _onednn(x, self.weight, self.bias, "gelu", [], "tanh")
        return F.gelu(super().forward(x), approximate="tanh")

    def _has_onednn(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and x.dtype == torch.float32 == self.weight.dtype
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and torch.backends.mkldnn.is_available()
            and self.weight.is_contiguous()  # others are reordered number by number
        )


def gelu_(x: Tensor) -> Tensor:
    """GELU (by tanh) in place; torch's own takes twice as long on a CPU.

    (1 + tanh u) / 2 is the logistic function of 2 u, which costs one exponential.
    """
    u2 = (x * x).mul_(2 * _TANH_SCALE * _CUBIC).add_(2 * _TANH_SCALE).mul_(x)
    return x.mul_(u2.sigmoid_())


def _onednn(
    x: Tensor, weight: Tensor, bias: Tensor | None, unary: str, scalars: list[float], algorithm: str
) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, unary, scalars, algorithm)
    return out
