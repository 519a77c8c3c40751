"""What the eye sees first beside the teacher's picture: blocks, and what becomes of motion. Pure.

The largest faults of a codec of blocks are not the largest squared errors: a slope at the borders
of all blocks shows as a grid, and an error where something moves shows as a cloud of dots.

T frames, H W size; clips are RGB float32 `[T, H, W, 3]` in [0, 1].
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from skimage import metrics

from slipstream_engine.train.losses import BLOCK_PX
from slipstream_engine.train.scenes import Clip

MOVING_LEVELS = 8  # of 255: a pixel that changes by more from frame to frame moves
_FAINT = 1e-4  # of a slope: two pictures without any are alike
_LEVELS = 255
_ssim: Callable[..., float] = metrics.structural_similarity  # untyped library


class PictureQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How near a generated clip is to the teacher's.

    Args:
        psnr_db: over all pixels.
        moving_psnr_db: over those that move in the camera's clip; None where nothing does.
        block_ratio: slope at the borders of blocks over that elsewhere, over the same of the
            teacher's picture as frames show it; 1 is no grid. None where the teacher draws a grid
            of its own.
        ssim: structural similarity, 1 is the same picture.
        gradient_ratio: gradient energy over the teacher's: PSNR is a poor judge of lines.
    """

    psnr_db: float
    moving_psnr_db: float | None
    block_ratio: float | None
    ssim: float
    gradient_ratio: float


def picture_quality(generated: Clip, target: Clip, camera: Clip, *, shown: Clip) -> PictureQuality:
    """All measures of a clip.

    Args:
        camera: what both were made of.
        shown: `target` in frames like those of `generated`, whose colours have half the
            resolution: strong colours alone make every other border of pixels the steeper one.
    """
    return PictureQuality(
        psnr_db=psnr_db(generated, target),
        moving_psnr_db=moving_psnr_db(generated, target, camera),
        block_ratio=block_ratio(generated, shown),
        ssim=ssim(generated, target),
        gradient_ratio=gradient_ratio(generated, target),
    )


def mean_quality(qualities: Sequence[PictureQuality]) -> PictureQuality:
    """The mean of every measure over those that have it."""
    return PictureQuality(
        psnr_db=float(np.mean([one.psnr_db for one in qualities])),
        moving_psnr_db=_mean([one.moving_psnr_db for one in qualities]),
        block_ratio=_mean([one.block_ratio for one in qualities]),
        ssim=float(np.mean([one.ssim for one in qualities])),
        gradient_ratio=float(np.mean([one.gradient_ratio for one in qualities])),
    )


def psnr_db(generated: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Peak signal-to-noise ratio of any number of pixels."""
    return float(-10 * np.log10(np.mean((generated - target) ** 2) + 1e-10))


def moving_psnr_db(generated: Clip, target: Clip, camera: Clip) -> float | None:
    """PSNR where a camera's pixel differs by over `MOVING_LEVELS` from the frame before.

    Returns:
        None where nothing moves. The first frame does not count.
    """
    change_THW = np.abs(np.diff(camera, axis=0)).max(axis=-1)
    moves_THW = change_THW > MOVING_LEVELS / _LEVELS
    if not moves_THW.any():
        return None
    return psnr_db(generated[1:][moves_THW], target[1:][moves_THW])


def block_ratio(generated: Clip, target: Clip) -> float:
    """How much steeper `generated` is at the borders of blocks than `target`, both axes at once."""
    return _border_share(generated) / _border_share(target)


def _border_share(clip: Clip) -> float:
    """Mean slope between two blocks over the mean slope inside one."""
    borders: list[NDArray[np.float32]] = []
    insides: list[NDArray[np.float32]] = []
    for axis in (1, 2):
        slopes = np.abs(np.diff(clip, axis=axis))
        at_border = np.arange(1, clip.shape[axis]) % BLOCK_PX == 0
        borders.append(np.compress(at_border, slopes, axis=axis).ravel())
        insides.append(np.compress(~at_border, slopes, axis=axis).ravel())
    border, inside = (float(np.concatenate(parts).mean()) for parts in (borders, insides))
    return (border + _FAINT) / (inside + _FAINT)


def ssim(generated: Clip, target: Clip) -> float:
    """Structural similarity, the mean over frames."""
    values = [
        _ssim(one, other, channel_axis=-1, data_range=1.0)
        for one, other in zip(generated, target, strict=True)
    ]
    return float(np.mean(values))


def gradient_ratio(generated: Clip, target: Clip) -> float:
    """Gradient energy of `generated` over that of `target`."""
    return _gradient_energy(generated) / (_gradient_energy(target) + 1e-9)


def _gradient_energy(clip: Clip) -> float:
    return float(np.mean(np.diff(clip, axis=1) ** 2) + np.mean(np.diff(clip, axis=2) ** 2))


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
