"""The sizes at which a model generates: one for each camera aspect, at each of its scales. Pure.

A frame of another aspect has no more tokens than the model's own at the same scale, so that it
takes no more time or memory; among those it is the one that wastes the least, of tokens and of the
camera's picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slipstream_protocol.frames import FrameSize

# width to height: square, webcams and films, each of them upright too
CAMERA_ASPECTS = ((1, 1), (4, 3), (3, 4), (16, 9), (9, 16))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledSize:
    """A size, and the scale it belongs to (see `OfferedSize`)."""

    size: FrameSize
    scale_px: int


def scaled_sizes(
    scales: Sequence[FrameSize], aspects: Sequence[tuple[int, int]], *, unit_px: int
) -> tuple[ScaledSize, ...]:
    """Every scale's own size, and after it that of each aspect, without repetition.

    Args:
        scales: the model's own sizes, the largest first.
        unit_px: side of a token in pixels.
    """
    sizes: dict[FrameSize, ScaledSize] = {}
    for own in scales:
        scale_px = min(own.width_px, own.height_px)
        for size in (own, *(fitting(own, aspect, unit_px=unit_px) for aspect in aspects)):
            sizes.setdefault(size, ScaledSize(size=size, scale_px=scale_px))
    return tuple(sizes.values())


def at_scale_of(other: FrameSize, size: FrameSize, offered: Sequence[ScaledSize]) -> FrameSize:
    """The one nearest in shape to `size` among those at the scale of `other`, both of them
    offered."""
    scales_px = {one.size: one.scale_px for one in offered}
    alike = [one.size for one in offered if one.scale_px == scales_px[other]]
    return max(alike, key=lambda each: each.kept_share(size.aspect))


def fitting(own: FrameSize, aspect: tuple[int, int], *, unit_px: int) -> FrameSize:
    """The size of about that aspect with no more tokens than `own`."""
    tokens = own.pixels // unit_px**2
    columns = range(1, tokens + 1)
    grids = ((each, rows) for each in columns for rows in (tokens // each,))
    narrower = ((each, rows - 1) for each in columns for rows in (tokens // each,) if rows > 1)
    best = max((*grids, *narrower), key=lambda grid: _worth(grid, aspect))
    return FrameSize(best[0] * unit_px, best[1] * unit_px)


def _worth(grid: tuple[int, int], aspect: tuple[int, int]) -> float:
    """Tokens that are used, less what is cut of the picture, which counts twice."""
    columns, rows = grid
    wide, high = columns * aspect[1], rows * aspect[0]
    return columns * rows * (min(wide, high) / max(wide, high)) ** 2
