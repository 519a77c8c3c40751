"""The layers of the Wan 2.1 video autoencoder (`spec/05` section 2).

B batch, T frames, H rows, W columns, C channels, N frames of all batches.
"""

from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from slipstream_engine.models.norms import ChannelNorm
from slipstream_engine.models.vae.causal_conv import (
    CausalConv,
    CausalState,
    ConvStateSlots,
    PointConv,
    per_frame,
)
from slipstream_engine.models.vae.upsample import upsample_nearest

KERNEL = (3, 3, 3)


class ResidualBlock(nn.Module):
    """x + two causal convolutions, a norm and SiLU before each.

    The keys are places in a sequence whose other members have no weights.
    """

    def __init__(self, channels_in: int, channels_out: int, slots: ConvStateSlots) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(channels_in, axes=3),
                "2": CausalConv(channels_in, channels_out, KERNEL, slots),
                "3": ChannelNorm(channels_out, axes=3),
                "6": CausalConv(channels_out, channels_out, KERNEL, slots),
            }
        )
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else PointConv(channels_in, channels_out)

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        norm_in, conv_in, norm_out, conv_out = cast(
            tuple[ChannelNorm, CausalConv, ChannelNorm, CausalConv], self.residual.values()
        )
        y = conv_in.after_norm(norm_in, x_BTHWC, state)
        y = conv_out.after_norm(norm_out, y, state)
        return y.add_(self.shortcut(x_BTHWC))


class FrameAttention(nn.Module):
    """Single-head attention among the pixels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        height = x_BTHWC.shape[2]
        weight = self.to_qkv.weight.flatten(1)
        qkv = functional.linear(self.norm(x_BTHWC), weight, self.to_qkv.bias)
        q, k, v = rearrange(qkv, "b t h w (n c) -> n (b t) 1 (h w) c", n=3)
        y = functional.scaled_dot_product_attention(q, k, v)
        y = rearrange(y, "(b t) 1 (h w) c -> b t h w c", b=len(x_BTHWC), h=height)
        return x_BTHWC + functional.linear(y, self.proj.weight.flatten(1), self.proj.bias)


class WanDownsample(nn.Module):
    """Halve rows and columns, and time where `temporal`: the stream's first frame stays alone."""

    def __init__(self, channels: int, slots: ConvStateSlots, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": nn.Conv2d(channels, channels, 3, stride=2)})
        self.time_conv = (
            CausalConv(channels, channels, (3, 1, 1), slots, stride=2, past_frames=1)
            if temporal
            else None
        )

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        padded = functional.pad(x_BTHWC, (0, 0, 0, 1, 0, 1))  # one column right, one row below
        x_BTHWC = per_frame(self.resample["1"], padded)
        if self.time_conv is None:
            return x_BTHWC
        if state.started:
            return self.time_conv.forward(x_BTHWC, state)
        first, rest = x_BTHWC[:, :1], x_BTHWC[:, 1:]
        self.time_conv.join_past(first, state)
        if not rest.shape[1]:
            return first
        return torch.cat([first, self.time_conv.forward(rest, state)], dim=1)


class WanUpsample(nn.Module):
    """Double rows and columns, halve the channels; where `temporal`, double time.

    The stream's first frame is not doubled and does not enter the temporal convolution at all: the
    second one's past is zeros.
    """

    def __init__(self, channels: int, slots: ConvStateSlots, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": nn.Conv2d(channels, channels // 2, 3, padding=1)})
        self.time_conv = CausalConv(channels, 2 * channels, (3, 1, 1), slots) if temporal else None

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        if self.time_conv is not None:
            x_BTHWC = self._double_time(self.time_conv, x_BTHWC, state)
        return per_frame(self._enlarge, x_BTHWC)

    def _enlarge(self, x_NCHW: Tensor) -> Tensor:
        return cast(Tensor, self.resample["1"](upsample_nearest(x_NCHW, 2)))

    def _double_time(self, conv: CausalConv, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        alone = 0 if state.started else 1
        first, rest = x_BTHWC[:, :alone], x_BTHWC[:, alone:]
        if not rest.shape[1]:
            return first
        pairs = conv.forward(rest, state)
        doubled = rearrange(pairs, "b t h w (s c) -> b (t s) h w c", s=2)
        return torch.cat([first, doubled], dim=1) if alone else doubled


class Middle(nn.ModuleList):
    """The deepest level of either direction."""

    def __init__(self, channels: int, slots: ConvStateSlots) -> None:
        super().__init__(
            [
                ResidualBlock(channels, channels, slots),
                FrameAttention(channels),
                ResidualBlock(channels, channels, slots),
            ]
        )


class VaeHead(nn.ModuleDict):
    """Norm, SiLU, convolution."""

    def __init__(self, channels_in: int, channels_out: int, slots: ConvStateSlots) -> None:
        super().__init__(
            {
                "0": ChannelNorm(channels_in, axes=3),
                "2": CausalConv(channels_in, channels_out, KERNEL, slots),
            }
        )

    def forward(self, x_BTHWC: Tensor, state: CausalState) -> Tensor:
        norm, conv = cast(tuple[ChannelNorm, CausalConv], self.values())
        return conv.after_norm(norm, x_BTHWC, state)
