"""Image operations of the teachers: tones, lines, even areas, colour ramps and cells.

Pictures are RGB float32 `[H, W, 3]` in [0, 1]; tones and lines are `[H, W]`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def grey(picture: Picture) -> Picture:
    return picture @ LUMA


def blur(picture: Picture, sigma_px: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.float32)


def edges(picture: Picture, *, sigma_px: float = 1.0, gain: float = 4.0) -> Picture:
    """Strength of the luma gradient in [0, 1], `[H, W]`."""
    soft = blur(grey(picture), sigma_px)
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=0.25)
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.25)
    return np.asarray(np.clip(gain * np.hypot(dx, dy), 0, 1), np.float32)


def lines(picture: Picture, *, sigma_px: float = 1.2, gain: float = 14.0) -> Picture:
    """Dark pen lines in [0, 1], `[H, W]`: where it is darker than its surroundings, or at edges."""
    soft = blur(grey(picture), sigma_px)
    dark = np.clip(gain * (blur(soft, 2.2 * sigma_px) - soft), 0, 1)
    steep = np.clip(edges(picture, sigma_px=sigma_px, gain=7.0) - 0.15, 0, 1)
    return np.asarray(np.clip(dark + 0.7 * steep, 0, 1), np.float32)


def press(picture: Picture) -> Picture:
    """The tone with local contrast raised, as for printing with few inks, `[H, W]`."""
    tone = blur(grey(picture), 1.3)
    local = tone - blur(tone, 14.0)
    return np.asarray(np.clip(0.56 + 1.7 * local + 0.55 * (tone - 0.5), 0, 1), np.float32)


def flat(picture: Picture) -> Picture:
    """Areas of even colour with their borders kept."""
    for _ in range(2):
        picture = np.asarray(cv2.bilateralFilter(picture, 7, 0.14, 4.0), np.float32)
    return picture


def ramp(value: Picture, *stops: tuple[float, tuple[float, float, float]]) -> Picture:
    """A colour for each value, interpolated linearly between `stops` (position, colour)."""
    at = [position for position, _ in stops]
    channels = [np.interp(value, at, [colour[c] for _, colour in stops]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def posterise(value: Picture, levels: int, softness: float = 0.25) -> Picture:
    """Steps of even tone with short ramps between: a hard step would flicker with the noise."""
    scaled = value * levels
    floor = np.floor(scaled)
    rise = np.clip((scaled - floor - 0.5) / softness + 0.5, 0, 1)
    return np.asarray(np.clip((floor + rise) / levels, 0, 1), np.float32)


def saturate(picture: Picture, factor: float) -> Picture:
    """Change saturation: colours are moved `factor` times as far from their grey."""
    middle = grey(picture)[..., None]
    return np.asarray(np.clip(middle + factor * (picture - middle), 0, 1), np.float32)


def mix(under: Picture, over: Picture | tuple[float, float, float], cover: Picture) -> Picture:
    """Blend: `over` where `cover` `[H, W]` is one, `under` where it is zero."""
    cover = cover[..., None]
    return np.asarray(under * (1 - cover) + np.asarray(over, np.float32) * cover, np.float32)


def cells(picture: Picture, size_px: int) -> Picture:
    """The mean colour of each cell, `[H / size, W / size, 3]`."""
    height, width = picture.shape[:2]
    small = (width // size_px, height // size_px)
    return np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.float32)


def tile(small: Picture, size_px: int) -> Picture:
    """Enlarge: each pixel of `small` becomes a cell of that colour."""
    return small.repeat(size_px, axis=0).repeat(size_px, axis=1)


def cell_radius(size_px: int) -> Picture:
    """Distance from the middle of its cell for each pixel of one cell, in halves of a cell."""
    line = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1
    return np.hypot(line[:, None], line[None, :])


def grid(like: Picture, cell: NDArray[np.float64]) -> Picture:
    """`cell` `[h, w]` repeated over the size of `like`, which it divides.

    Cells of eight pixels, or a part of it, lie the same way in every latent pixel: a model that
    does not know where it is can draw them.
    """
    rows, columns = like.shape[0] // cell.shape[0], like.shape[1] // cell.shape[1]
    return np.tile(cell.astype(np.float32), (rows, columns))
