"""The layers of a TAEHV-class codec, the linear path beside them, and the calming of frames.

B batch, T frames, F latent frames, C channels, H height, W width; h w latent size; N latents.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from slipstream_engine.models.vae.taehv_config import FRAMES_TO_TRIM
from slipstream_engine.models.vae.upsample import upsample_nearest


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
    """Grow a frame to `time` frames, oldest first."""

    def __init__(self, width_in: int, width_out: int, *, time: int) -> None:
        super().__init__()
        self.time = time
        self.conv = nn.Conv2d(width_in, width_out * time, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return rearrange(
            framewise(self.conv, x_BTCHW), "b f (t c) h w -> b (f t) c h w", t=self.time
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

    def __init__(self, *, latent_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        values = 3 * (FRAMES_TO_TRIM + 1) * stride**2
        self.down = nn.Conv2d(values, latent_channels, 1)
        self.up = nn.Conv2d(latent_channels, values, 1)

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

    def colours(self, z_BFCHW: Tensor) -> Tensor:
        """The means of `decode`'s blocks, `[B, 4F, 3, h, w]`."""
        assert self.up.bias is not None
        pixels = self.stride**2
        weight = self.up.weight.unflatten(0, (-1, pixels)).mean(dim=1)
        bias = self.up.bias.unflatten(0, (-1, pixels)).mean(dim=1)
        means = framewise(lambda z_NCHW: F.conv2d(z_NCHW, weight, bias), z_BFCHW)
        return rearrange(means, "b f (t c) h w -> b (f t) c h w", c=3)


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


def framewise(op: Callable[[Tensor], Tensor], x_BTCHW: Tensor) -> Tensor:
    """Apply `op`, which takes `[N, C, H, W]`, to every frame of `[B, T, C, H, W]`."""
    batch, frames = x_BTCHW.shape[:2]
    return rearrange(op(x_BTCHW.flatten(0, 1)), "(b t) c h w -> b t c h w", b=batch, t=frames)
