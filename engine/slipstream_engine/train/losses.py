"""Losses of generated frames: pixels, gradients, flicker, energy of lines, and grid patterns.

B batch, T frames, C channels, H height, W width; RGB in [0, 1].
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

STILL = 1 / 255  # a smaller change of the target counts as none
WINDOW_PX = 8
BLOCK_PX = 8  # what one latent stands for
NEIGHBOURS = 4  # blocks to a side that are looked at together
FAINT_SLOPE = 4e-4  # gradient energy of about five grey levels: lines below it do not matter


def picture_loss(generated_BTCHW: Tensor, target_BTCHW: Tensor) -> Tensor:
    """Squared error of pixels and of their slopes, and absolute change where the target has none.

    The second keeps lines sharp. The third keeps still pictures still: there the errors are so
    small that their squares would not count. Where something moves it is left out: the noise of a
    camera, which no codec keeps, would drown everything.
    """
    error = generated_BTCHW - target_BTCHW
    slopes = error.diff(dim=-1).square().mean() + error.diff(dim=-2).square().mean()
    is_still = target_BTCHW.diff(dim=1).abs() < STILL
    flicker = (error.diff(dim=1).abs() * is_still).mean()
    return 8 * error.square().mean() + 4 * slopes + 4 * flicker


def line_loss(generated_BTCHW: Tensor, target_BTCHW: Tensor) -> Tensor:
    """How far, as a logarithm, the gradient energy of small windows is from the target's.

    A squared error alone is least for lines blurred to where they might be; this asks for as much
    of them as the teacher draws, most where there is most.
    """
    generated, target = _energy(generated_BTCHW), _energy(target_BTCHW)
    weight = (target + FAINT_SLOPE).sqrt()
    distance = ((generated + FAINT_SLOPE) / (target + FAINT_SLOPE)).log().abs()
    return (weight * distance).sum() / weight.sum()


def grid_loss(generated_BTCHW: Tensor, target_BTCHW: Tensor) -> Tensor:
    """What the errors of neighbouring blocks have in common but for their mean.

    A small error that every block makes in the same place costs a squared error next to nothing,
    and the eye sees it first: as a grid.
    """
    error_NPyx = rearrange(
        generated_BTCHW - target_BTCHW,
        "b t c (y i) (x j) -> (b t c) (i j) y x",
        i=BLOCK_PX,
        j=BLOCK_PX,
    )
    common_NPyx = F.avg_pool2d(error_NPyx, NEIGHBOURS, stride=NEIGHBOURS // 2)
    return (common_NPyx - common_NPyx.mean(dim=1, keepdim=True)).square().mean()


def _energy(x_BTCHW: Tensor) -> Tensor:
    """Mean squared slope of overlapping windows."""
    x_NCHW = x_BTCHW.flatten(0, 1)
    down_NCHW = x_NCHW.diff(dim=-2)[..., :-1].square()
    across_NCHW = x_NCHW.diff(dim=-1)[..., :-1, :].square()
    energy_N1HW = (down_NCHW + across_NCHW).mean(dim=1, keepdim=True)
    return F.avg_pool2d(energy_N1HW, WINDOW_PX, stride=WINDOW_PX // 2)
