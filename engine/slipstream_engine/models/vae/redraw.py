"""Redraws a decoded picture by what the camera saw: the picture says how, the camera where.

A latent of one block of pixels cannot say where an edge lies in each of four frames; the camera's
frames can. So the decoded pictures of a latent frame are explained, by least squares, from features
of the camera's at the same pixels: tones, slopes and lines at the scales that styles are drawn at.
The explanation has the camera's edges, and averages over all errors that have nothing to do with
them, blocks and dots among them. No weights are learned beforehand, and any style or mixture will
do that draws the same of the same. Colours of whole blocks stay the decoded ones.

A style with a grid of its own draws what the camera did not see. What is left unexplained then
repeats from block to block, and the decoded picture stays.

T frames, C channels, H W size, P pixels, M measures, N features; pixels are RGB in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_EVERY = 5  # pixels: of each so many one is explained, and all are redrawn
_RIDGE = 5e-6
_SURE, _UNSURE = 0.2, 0.45  # shares of a grid in the unexplained: below redrawn, above left alone
_LINES = 1.2  # an explanation of blurred lines is fainter than they are
_KEPT = 0.2  # of the unexplained
_PIECE_PX = 1 << 14
_FAINT = 1e-7

_RADIUS_PX = 4
_NEAR_SIGMA, _FAR_SIGMA, _WIDE_RADIUS = 0.55, 1.4, 3  # blocks
_TONES = tuple(0.05 + 0.1 * step for step in range(10))
_STEEP = 0.12
_DARKER = (0.0, 0.12, 0.3)
_LOCAL, _LOCAL_TONES = 0.75, (0.0, 0.1, 0.2, 0.3)
_RELIEF = (-0.06, 0.0, 0.06)
# how many of each kind, in the order of `features_of`; of the first seven, none below zero
_FEATURES = (len(_TONES), 4, 4, len(_DARKER), len(_LOCAL_TONES), len(_RELIEF), 1, 2, 1, 2, 1)
_RECTIFIED = 7


def redraw(decoded_TCHW: Tensor, camera_TCHW: Tensor, block_px: int) -> Tensor:
    """The pictures of one latent frame, redrawn; sides are multiples of `block_px`."""
    explained_TCHW = explain(decoded_TCHW, measures_of(camera_TCHW, block_px))
    unexplained_TCHW = decoded_TCHW - explained_TCHW
    redrawn = 1 - _share_of_grid(unexplained_TCHW[-1:], block_px)
    change_TCHW = explained_TCHW.mul_(_LINES - 1).add_(unexplained_TCHW, alpha=_KEPT - 1)
    change_TCHW.sub_(_enlarge(F.avg_pool2d(change_TCHW, block_px), block_px))
    return torch.addcmul(decoded_TCHW, change_TCHW, redrawn)


def measures_of(camera_TCHW: Tensor, block_px: int) -> tuple[Tensor, ...]:
    """What features are made of, `[T, M, P]` each: filtered luma, its wide means, colours."""
    red, green, blue = camera_TCHW.split(1, dim=1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    kernels_N1yx = torch.from_numpy(_KERNELS).to(luma)
    near = F.conv2d(F.pad(luma, (_RADIUS_PX,) * 4, mode="replicate"), kernels_N1yx)
    kernels_N1yx = torch.from_numpy(_WIDE_KERNELS).to(luma)
    means = F.pad(F.avg_pool2d(luma, block_px), (_WIDE_RADIUS,) * 4, mode="replicate")
    wide = _enlarge(F.conv2d(means, kernels_N1yx), block_px)
    return near.flatten(2), wide.flatten(2), (camera_TCHW[:, ::2] - luma).flatten(2)


def features_of(measured: Sequence[Tensor], out_NP: Tensor) -> Tensor:
    """What explains a style's pixels, written to `out_NP`, the last of them a constant."""
    near_MP, wide_MP, colours_MP = measured
    tone, slopes, darker, fine = near_MP.split((1, 4, 1, 1))
    around, far = wide_MP.split(1)
    tones, steep, steeper, dark, local, relief, bright, turn, plain, colour, one = out_NP.split(
        _FEATURES
    )
    torch.sub(tone, _levels(_TONES, tone), out=tones)
    torch.abs(slopes, out=steep)
    torch.sub(steep, _STEEP, out=steeper)
    torch.sub(darker, _levels(_DARKER, tone), out=dark)
    torch.sub(tone - _LOCAL * far, _levels(_LOCAL_TONES, tone), out=local)
    torch.sub(fine - around, _levels(_RELIEF, tone), out=relief)
    torch.neg(darker, out=bright)
    out_NP[: sum(_FEATURES[:_RECTIFIED])].relu_()
    turn.copy_(slopes[::2])
    plain.copy_(fine)
    colour.copy_(colours_MP)
    one.fill_(1)
    return out_NP


def explain(decoded_TCHW: Tensor, measured: Sequence[Tensor]) -> Tensor:
    """The linear map of the features that is nearest to the decoded pictures, applied to them."""
    decoded_TCP = decoded_TCHW.flatten(2)
    some = [rearrange(maps_TMP[..., ::_EVERY], "t m p -> m (t p)") for maps_TMP in measured]
    some_NP = features_of(some, decoded_TCP.new_empty(sum(_FEATURES), some[0].shape[1]))
    seen_CP = rearrange(decoded_TCP[..., ::_EVERY], "t c p -> c (t p)")
    # a few dozen features that resemble each other: single precision would not do
    moments_NN = (some_NP @ some_NP.T).double()
    moments_NN.diagonal().add_(_RIDGE * some_NP.shape[1])
    sought_NC = (some_NP @ seen_CP.T).double()
    map_CN = torch.linalg.solve_ex(moments_NN, sought_NC).result.to(some_NP).T.contiguous()
    # in pieces that fit a processor's cache: the features are many times as large as the pictures
    explained_TCP = torch.empty_like(decoded_TCP)
    piece_NP = decoded_TCP.new_empty(sum(_FEATURES), _PIECE_PX)
    for frame, explained_CP in enumerate(explained_TCP):
        parts = [maps_TMP[frame].split(_PIECE_PX, dim=1) for maps_TMP in measured]
        for out_CP, *maps in zip(explained_CP.split(_PIECE_PX, dim=1), *parts, strict=True):
            out_CP.copy_(map_CN @ features_of(maps, piece_NP[:, : out_CP.shape[1]]))
    return explained_TCP.view_as(decoded_TCHW)


def _share_of_grid(rest_TCHW: Tensor, block_px: int) -> Tensor:
    """How sure it is, 0 to 1, that the style draws a grid: by what all blocks have in common."""
    blocks = rest_TCHW.unflatten(-1, (-1, block_px)).unflatten(-3, (-1, block_px))
    common = blocks.mean(dim=(0, 2, 4))
    common = common - common.mean(dim=(1, 2), keepdim=True)
    inside = rest_TCHW.square().mean() - F.avg_pool2d(rest_TCHW, block_px).square().mean()
    share = common.square().mean() / (inside + _FAINT)
    sureness: Tensor = (share - _SURE) / (_UNSURE - _SURE)
    return sureness.clamp(0, 1)


def _enlarge(x_TChw: Tensor, times: int) -> Tensor:
    """Interpolate between pixels; two products of matrices take a tenth of torch's own time."""
    down, across = (
        F.interpolate(
            torch.eye(side, device=x_TChw.device, dtype=x_TChw.dtype)[None],
            scale_factor=times,
            mode="linear",
        )[0]
        for side in x_TChw.shape[2:]
    )
    return down.T @ (x_TChw @ across)


def _levels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype)[:, None]


def _gaussian(radius: int, sigma: float) -> NDArray[np.float64]:
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    square = np.outer(line, line)
    return np.asarray(square / square.sum())


def _slope(sigma: float, turn: float) -> NDArray[np.float64]:
    """A filter that answers with the slope along the direction `turn`, in radians."""
    y, x = np.mgrid[-_RADIUS_PX : _RADIUS_PX + 1, -_RADIUS_PX : _RADIUS_PX + 1]
    along = x * np.cos(turn) + y * np.sin(turn)
    weighted = along * _gaussian(_RADIUS_PX, sigma)
    return np.asarray(weighted / (weighted * along).sum())


def _kernels() -> NDArray[np.float32]:
    """Filters of a tone, slopes in four directions, what is darker than around it, a fine tone."""
    darker = _gaussian(_RADIUS_PX, 2.9) - _gaussian(_RADIUS_PX, 1.2)
    filters = [
        _gaussian(_RADIUS_PX, 1.3),
        *(4 * _slope(1.1, quarter * np.pi / 4) for quarter in range(4)),
        6 * darker,
        _gaussian(_RADIUS_PX, 0.7),
    ]
    return np.stack(filters).astype(np.float32)[:, None]


_KERNELS = _kernels()
_WIDE_KERNELS = np.stack(
    [_gaussian(_WIDE_RADIUS, sigma) for sigma in (_NEAR_SIGMA, _FAR_SIGMA)]
).astype(np.float32)[:, None]
