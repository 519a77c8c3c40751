"""Root mean square norms over the last axis; their weights are named as in the checkpoints.

C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Computed in float32 and rounded to the input's dtype before the weight is applied.

    Args:
        width: C.
        eps: added to the mean square.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.rms_norm(x.float(), (x.shape[-1],), eps=self.eps)
        return normed.to(x.dtype) * self.weight


class ChannelNorm(nn.Module):
    """Scale every channel vector to length sqrt(C), times `gamma` (`spec/05` section 2).

    Rounded once, after the weight.

    Args:
        channels: C.
        axes: trailing axes of length one in the stored shape of `gamma`.
    """

    def __init__(self, channels: int, *, axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))
        self.eps = 1e-24 / channels  # a length below 1e-12 counts as 1e-12

    @property
    def gain_C(self) -> Tensor:
        return self.gamma.flatten()

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.gain_C, eps=self.eps)
