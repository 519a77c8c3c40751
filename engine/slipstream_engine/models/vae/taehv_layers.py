"""The layers of a TAEHV-class codec, and the linear path beside them.

B batch, T frames, F latent frames, C channels, H height, W width; h w latent size; N latents.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from slipstream_engine.models.vae.taehv_config import FRAMES_TO_TRIM, TaehvParams
from slipstream_engine.models.vae.upsample import upsample_nearest

# of the deblocking filter, chosen on pictures of the training set and two held-out clips
NEAR, FAR = 0.5, 0.2  # of a step, the share of the pixels beside it and of those next to them
MOST_OF_STEP = 0.65  # to take away: the rest is about as steep as the inside of a block
LEAST_ROUGHER, EAGERNESS = 1.15, 4.0  # nothing below that ratio to the inside, most from 1.37 on
FAINT_STEP = 1e-6


class Clamp(nn.Module):
    """Squash to (-limit, limit)."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return torch.tanh(x_BTCHW / self.limit) * self.limit


class PixelUnshuffle(nn.Module):
    """Fold squares of pixels into channels; torch's own takes twice as long on a CPU."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        side = self.side
        return rearrange(x_BTCHW, "b t c (h p) (w q) -> b t (c p q) h w", p=side, q=side)


class PixelShuffle(PixelUnshuffle):
    """The way back."""

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        side = self.side
        return rearrange(x_BTCHW, "b t (c p q) h w -> b t c (h p) (w q)", p=side, q=side)


class Conv(nn.Conv2d):
    """A 3x3 convolution over every frame."""

    def __init__(
        self, width_in: int, width_out: int, *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__(width_in, width_out, 3, stride=stride, padding=1, bias=bias)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return framewise(super().forward, x_BTCHW)


class MemBlock(nn.Module):
    """A residual block over a frame and the one before it."""

    def __init__(self, width: int, *, convs: int, memory: bool, slope: float) -> None:
        super().__init__()
        self.memory = memory
        layers: list[nn.Module] = [nn.Conv2d(width * (2 if memory else 1), width, 3, padding=1)]
        for _ in range(convs - 1):
            layers += [nn.LeakyReLU(slope), nn.Conv2d(width, width, 3, padding=1)]
        self.conv = nn.Sequential(*layers)
        self.unit = nn.LeakyReLU(slope)

    def forward(self, x_BTCHW: Tensor, past_BTCHW: Tensor | None = None) -> Tensor:
        both = x_BTCHW if past_BTCHW is None else torch.cat([x_BTCHW, past_BTCHW], dim=2)
        out: Tensor = self.unit(framewise(self.conv, both) + x_BTCHW)
        return out


class TPool(nn.Module):
    """Pool `time` frames, oldest first, to one frame."""

    def __init__(self, width_in: int, width_out: int, *, time: int) -> None:
        super().__init__()
        self.time = time
        self.conv = nn.Conv2d(width_in * time, width_out, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return framewise(
            self.conv, rearrange(x_BTCHW, "b (f t) c h w -> b f (t c) h w", t=self.time)
        )


class TGrow(nn.Module):
    """Grow a frame to `time` frames, oldest first, of `space` times the rows and columns."""

    def __init__(self, width_in: int, width_out: int, *, time: int, space: int = 1) -> None:
        super().__init__()
        self.time = time
        self.space = space
        self.conv = nn.Conv2d(width_in, width_out * time * space * space, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        grown = framewise(self.conv, x_BTCHW)
        return rearrange(
            grown,
            "b f (t c p q) h w -> b (f t) c (h p) (w q)",
            t=self.time,
            p=self.space,
            q=self.space,
        )


class NearestUpsample(nn.Module):
    """Repeat every pixel `space` times in both directions."""

    def __init__(self, space: int) -> None:
        super().__init__()
        self.space = space

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return framewise(lambda x_NCHW: upsample_nearest(x_NCHW, self.space), x_BTCHW)


class LinearPath(nn.Module):
    """A linear map from a block of pixels, in space and time, to a latent pixel, and back.

    It is fitted to data (principal components), not learned; the convolutions add to its result.
    """

    def __init__(self, params: TaehvParams) -> None:
        super().__init__()
        self.stride = params.stride
        values = 3 * (FRAMES_TO_TRIM + 1) * params.stride**2
        self.down = nn.Conv2d(values, params.latent_channels, 1)
        self.up = nn.Conv2d(params.latent_channels, values, 1)

    def encode(self, x_BTCHW: Tensor) -> Tensor:
        return framewise(self.down, blocks(x_BTCHW, self.stride))

    def decode(self, z_BFCHW: Tensor) -> Tensor:
        return rearrange(
            framewise(self.up, z_BFCHW),
            "b f (t c p q) h w -> b (f t) c (h p) (w q)",
            c=3,
            p=self.stride,
            q=self.stride,
        )


def blocks(x_BTCHW: Tensor, stride: int) -> Tensor:
    """Pixels of 4 frames as one vector for each latent pixel, `[B, F, 12 * stride ** 2, h, w]`."""
    return rearrange(
        x_BTCHW,
        "b (f t) c (h p) (w q) -> b f (t c p q) h w",
        t=FRAMES_TO_TRIM + 1,
        p=stride,
        q=stride,
    )


def deflicker(x_BTCHW: Tensor, level: float, stride: int) -> Tensor:
    """Average the frames of each latent frame where they hardly change.

    Args:
        level: root mean square change of a block at which half of the change is kept. Far smaller
            changes are removed, far larger ones kept.
        stride: pixels to a block; the kept share is interpolated between the blocks' centres.
    """
    batch, frames = x_BTCHW.shape[:2]
    x_NTCHW = rearrange(x_BTCHW, "b (f t) c h w -> (b f) t c h w", t=FRAMES_TO_TRIM + 1)
    mean_N1CHW = x_NTCHW.mean(dim=1, keepdim=True)
    change_NTCHW = x_NTCHW - mean_N1CHW
    power_N1hw = F.avg_pool2d(change_NTCHW.square().mean(dim=(1, 2))[:, None], stride)
    kept_N1hw = power_N1hw**2 / (power_N1hw**2 + level**4)
    kept_N1HW = F.interpolate(kept_N1hw, scale_factor=stride, mode="bilinear")
    calm_NTCHW = torch.addcmul(mean_N1CHW, kept_N1HW[:, None], change_NTCHW)
    return calm_NTCHW.reshape(batch, frames, *x_BTCHW.shape[2:])


def deblock(x_BTCHW: Tensor, stride: int) -> Tensor:
    """Smooth the borders of blocks where the picture is rougher there than anywhere inside a block.

    A latent pixel errs by itself, so there is a step between two blocks. What it exceeds the slopes
    beside it by is spread over the pixels next to it. How much of it, each latent frame's newest
    picture says: a style that draws a grid of its own has such steps inside blocks, too.

    Args:
        stride: pixels to a block.
    """
    frames = FRAMES_TO_TRIM + 1
    x_NTCHW = rearrange(x_BTCHW, "b (f t) c h w -> (b f) t c h w", t=frames).clone()
    for along_NTCHW in (x_NTCHW, x_NTCHW.mT):
        if along_NTCHW.shape[-1] >= 2 * stride:
            _smooth_columns(along_NTCHW, stride)
    return x_NTCHW.reshape(x_BTCHW.shape)


def _smooth_columns(x_NTCHW: Tensor, stride: int) -> None:
    """Smooth the borders between blocks that lie side by side, in place."""
    blocks_NTCHnp = x_NTCHW.unflatten(-1, (-1, stride))
    left_NTCHn, right_NTCHn = blocks_NTCHnp[..., :-1, -1], blocks_NTCHnp[..., 1:, 0]
    before_NTCHn, after_NTCHn = blocks_NTCHnp[..., :-1, -2], blocks_NTCHnp[..., 1:, 1]
    # the step, less the mean of the slopes on its two sides
    step_NTCHn = 1.5 * (right_NTCHn - left_NTCHn) - 0.5 * (after_NTCHn - before_NTCHn)
    step_NTCHn = step_NTCHn * _share_of_steps(x_NTCHW[:, -1], stride)[:, None, None, None, None]
    left_NTCHn.add_(step_NTCHn, alpha=NEAR)
    right_NTCHn.sub_(step_NTCHn, alpha=NEAR)
    before_NTCHn.add_(step_NTCHn, alpha=FAR)
    after_NTCHn.sub_(step_NTCHn, alpha=FAR)


def _share_of_steps(x_NCHW: Tensor, stride: int) -> Tensor:
    """The share of the steps between blocks to take away from each picture, `[N]`.

    None where they are hardly rougher than the roughest place inside of blocks.
    """
    grey_NHW = x_NCHW.mean(dim=1)
    slope_NHW = grey_NHW.diff(dim=-1)
    excess_NHW = slope_NHW[..., 1:-1].sub(slope_NHW[..., :-2] + slope_NHW[..., 2:], alpha=0.5)
    half, width = stride // 2, x_NCHW.shape[-1]
    # whole periods, each with a border in its middle
    periods_NHnp = excess_NHW.narrow(-1, half - 2, width - stride).unflatten(-1, (-1, stride))
    rough_Np = periods_NHnp.abs().mean(dim=(1, 2))
    inside_N = torch.cat([rough_Np[:, :half], rough_Np[:, half + 1 :]], dim=1).amax(dim=1)
    excess_N: Tensor = 1 - LEAST_ROUGHER * inside_N / (rough_Np[:, half] + FAINT_STEP)
    return excess_N.mul(EAGERNESS).clamp(0, MOST_OF_STEP)


def framewise(op: Callable[[Tensor], Tensor], x_BTCHW: Tensor) -> Tensor:
    """Apply `op`, which takes `[N, C, H, W]`, to every frame of `[B, T, C, H, W]`."""
    batch, frames = x_BTCHW.shape[:2]
    return rearrange(op(x_BTCHW.flatten(0, 1)), "(b t) c h w -> b t c h w", b=batch, t=frames)
