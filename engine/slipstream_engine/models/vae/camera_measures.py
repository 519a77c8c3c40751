"""What is measured of the camera's frames around every pixel: tones, slopes, lines and colours.

They are what styles are drawn from, at the scales they are drawn at. Nothing here is learned.

T frames, C channels, M measures, H W size; pixels are RGB in [0, 1].
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MEASURES = 24
STEPPED = 6  # the last of them, which are the same all over a cell or a block
_LUMA = (0.299, 0.587, 0.114)
_GREY = 0.5
_STEEP = 4.0  # slopes are this much stronger than tones, to weigh alike
_FAINT = 1e-3
_RADIUS_PX = 4
_NEAR_SIGMA, _FAR_SIGMA, _WIDE_RADIUS = 0.55, 1.4, 3  # blocks


def measures_of(camera_TCHW: Tensor, block_px: int) -> tuple[Tensor, ...]:
    """All of them, `[T, MEASURES, H, W]` together; sides are multiples of `block_px`."""
    red, green, blue = camera_TCHW.split(1, dim=1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    kernels = torch.from_numpy(_KERNELS).to(luma)
    near = F.conv2d(F.pad(luma, (_RADIUS_PX,) * 4, mode="replicate"), kernels)
    tones, across, down, darker = near.split((3, 1, 1, 1), dim=1)
    steep = (across.square() + down.square() + _FAINT**2).sqrt()
    # twice the angle of the slope, so that both sides of a line agree
    turns = torch.cat([(across - down) * (across + down), 2 * across * down], dim=1) / steep
    cell_px = block_px // 2
    cells = F.avg_pool2d(camera_TCHW, cell_px)
    blocks = F.avg_pool2d(cells, 2)
    kernels = torch.from_numpy(_WIDE_KERNELS).to(luma)
    around_near, around_far = _wide(luma, block_px, kernels).split(1, dim=1)
    glow, _ = _wide(steep, block_px, kernels).split(1, dim=1)
    return (
        *(luma - _GREY, tones - _GREY, across, down, steep, turns, darker),
        *(around_near - _GREY, around_far - _GREY, glow),
        *(enlarged(cells, cell_px) - _GREY, camera_TCHW[:, ::2] - luma),
        *(_repeated(cells, cell_px) - _GREY, _repeated(blocks, block_px) - _GREY),
    )


def _wide(x_T1HW: Tensor, block_px: int, kernels_M1yx: Tensor) -> Tensor:
    """Means over so many blocks that they are filtered a block to a pixel, and enlarged."""
    means = F.pad(F.avg_pool2d(x_T1HW, block_px), (_WIDE_RADIUS,) * 4, mode="replicate")
    return enlarged(F.conv2d(means, kernels_M1yx), block_px)


def enlarged(x_TChw: Tensor, times: int) -> Tensor:
    """Interpolated between pixels; two products of matrices take a tenth of torch's own time."""
    down, across = (
        F.interpolate(
            torch.eye(side, device=x_TChw.device, dtype=x_TChw.dtype)[None],
            scale_factor=times,
            mode="linear",
        )[0]
        for side in x_TChw.shape[2:]
    )
    return down.T @ (x_TChw @ across)


def _repeated(x_TChw: Tensor, times: int) -> Tensor:
    """Enlarge: every pixel becomes a square."""
    wide = x_TChw[..., None].expand(*x_TChw.shape, times).flatten(-2)
    return wide[..., None, :].expand(*wide.shape[:-1], times, wide.shape[-1]).flatten(-3, -2)


def _gaussian(radius: int, sigma: float) -> NDArray[np.float64]:
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    square = np.outer(line, line)
    return np.asarray(square / square.sum())


def _slope(sigma: float) -> NDArray[np.float64]:
    """A filter that answers with the slope from left to right."""
    along = np.arange(-_RADIUS_PX, _RADIUS_PX + 1)[None, :]
    weighted = along * _gaussian(_RADIUS_PX, sigma)
    return np.asarray(weighted / (weighted * along).sum())


def _kernels() -> NDArray[np.float32]:
    """Filters of three tones, of slopes across and down, of what is darker than around it."""
    across = _STEEP * _slope(1.3)
    darker = 6 * (_gaussian(_RADIUS_PX, 2.9) - _gaussian(_RADIUS_PX, 1.2))
    tones = [_gaussian(_RADIUS_PX, sigma) for sigma in (0.7, 1.3, 2.0)]
    return np.stack([*tones, across, across.T, darker]).astype(np.float32)[:, None]


_KERNELS = _kernels()
_WIDE_KERNELS = np.stack(
    [_gaussian(_WIDE_RADIUS, sigma) for sigma in (_NEAR_SIGMA, _FAR_SIGMA)]
).astype(np.float32)[:, None]
