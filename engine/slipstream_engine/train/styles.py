"""The teachers: each style is a local picture operation, so moving scenes stay consistent.

Pictures are RGB float32 `[H, W, 3]` in [0, 1] at the size the model runs at. Lines are two to three
pixels wide and soft on purpose: the codec keeps 96 of 768 numbers, and thinner lines do not survive
it. Nothing here depends on the frame's position in time, and only the grid styles on its position
in space.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from slipstream_engine.train import brushes as brush
from slipstream_engine.train.brushes import Picture

Style = Callable[[Picture], Picture]

IDENTITY = "original"


def pencil(picture: Picture) -> Picture:
    grey = brush.grey(picture)
    dodge = np.clip(brush.blur(grey, 0.7) / (brush.blur(grey, 5.0) + 0.02), 0, 1) ** 3
    tone = 0.72 + 0.28 * brush.blur(grey, 2.0)
    paper = np.clip(dodge * tone * (1 - 0.75 * brush.lines(picture)), 0, 1)
    return brush.ramp(paper, (0, (0.13, 0.13, 0.15)), (1, (0.98, 0.97, 0.94)))


def neon(picture: Picture) -> Picture:
    soft = brush.blur(brush.grey(picture), 1.2)
    dx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=0.25)
    dy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.25)
    core = np.clip(9.0 * np.hypot(dx, dy) - 0.12, 0, 1)
    # orientation picks the tube: twice the angle, so that both sides of a line agree
    turn = np.arctan2(dy, dx) * 2
    phases = np.array([0.0, 2.1, 4.2], np.float32)
    tube = np.clip(0.55 + 0.5 * np.cos(turn[..., None] - phases), 0, 1).astype(np.float32)
    lit = np.asarray(core[..., None] * tube, np.float32)
    glow = brush.blur(lit, 1.0) + 0.9 * brush.blur(lit, 4.0)
    return np.asarray(
        np.clip(np.array([0.02, 0.0, 0.07], np.float32) + 1.25 * glow, 0, 1), np.float32
    )


def thermal(picture: Picture) -> Picture:
    heat = brush.blur(brush.grey(picture), 1.5)
    return brush.ramp(
        heat,
        (0.0, (0.0, 0.0, 0.15)),
        (0.2, (0.25, 0.0, 0.6)),
        (0.4, (0.8, 0.05, 0.55)),
        (0.6, (1.0, 0.4, 0.1)),
        (0.8, (1.0, 0.85, 0.1)),
        (1.0, (1.0, 1.0, 0.9)),
    )


def comic(picture: Picture) -> Picture:
    flat = brush.flat(picture)
    tone = brush.grey(flat)
    stepped = brush.posterise(np.clip(tone * 1.15, 0, 1), 4, 0.3)
    colour = flat * ((stepped + 0.12) / (tone + 0.08))[..., None]
    ink = np.clip(1.5 * brush.lines(picture, sigma_px=1.4, gain=18.0), 0, 1)
    return brush.mix(brush.saturate(np.clip(colour, 0, 1), 1.9), (0.03, 0.02, 0.05), ink)


def oil(picture: Picture) -> Picture:
    """Kuwahara: each pixel takes the mean of the calmest of the four squares it is a corner of."""
    radius_px = 3
    means, spreads = [], []
    side = (radius_px + 1, radius_px + 1)
    for y in (0, radius_px):
        for x in (0, radius_px):
            mean = cv2.blur(picture, side, anchor=(x, y))
            means.append(mean)
            spreads.append((cv2.blur(picture**2, side, anchor=(x, y)) - mean**2).sum(axis=-1))
    # a soft choice: a hard one jumps from frame to frame
    weight = 1 / (np.stack(spreads) + 1e-4) ** 3
    weight /= weight.sum(axis=0)
    paint = np.einsum("khw,khwc->hwc", weight, np.stack(means)).astype(np.float32)
    relief = brush.grey(paint) - brush.blur(np.roll(brush.grey(paint), (1, 1), (0, 1)), 1.0)
    rich = brush.saturate(np.clip((paint - 0.5) * 1.35 + 0.52, 0, 1), 1.9)
    # bristles leave slanted furrows, deeper where the paint is thick
    y, x = np.mgrid[0:8, 0:8] * (2 * np.pi / 8)
    furrows = brush.grid(relief, np.sin(x + y) * 0.6 + np.sin(x - 2 * y) * 0.4)
    thick = 0.05 + 0.06 * brush.blur(brush.grey(paint), 2.0)
    return np.asarray(np.clip(rich + (0.9 * relief + thick * furrows)[..., None], 0, 1), np.float32)


def watercolour(picture: Picture) -> Picture:
    wash = brush.blur(brush.flat(picture), 1.2)
    pale = 0.38 + 0.62 * brush.saturate(np.clip(wash, 0, 1), 1.5)
    rim = np.clip(2.2 * brush.edges(picture, sigma_px=2.0, gain=3.0), 0, 0.55)
    return np.asarray(np.clip(pale * (1 - 0.6 * rim[..., None]), 0, 1), np.float32)


def blueprint(picture: Picture) -> Picture:
    line = np.clip(1.4 * brush.edges(picture, sigma_px=1.5, gain=9.0) - 0.06, 0, 1)
    ground = brush.ramp(
        brush.blur(brush.grey(picture), 2.0), (0, (0.02, 0.1, 0.38)), (1, (0.08, 0.26, 0.62))
    )
    return brush.mix(ground, (0.9, 0.96, 1.0), line)


def cyberpunk(picture: Picture) -> Picture:
    tone = np.clip((brush.blur(brush.grey(picture), 1.4) - 0.45) * 1.5 + 0.45, 0, 1)
    base = brush.ramp(
        tone,
        (0.0, (0.03, 0.0, 0.12)),
        (0.35, (0.25, 0.0, 0.55)),
        (0.6, (0.95, 0.1, 0.65)),
        (0.85, (0.2, 0.85, 0.95)),
        (1.0, (0.85, 1.0, 1.0)),
    )
    rim = brush.blur(brush.edges(picture, sigma_px=1.2, gain=6.0), 1.0)
    return np.asarray(np.clip(base + rim[..., None] * np.array([0.1, 0.7, 0.9], np.float32), 0, 1))


def ice(picture: Picture) -> Picture:
    tone = brush.blur(brush.grey(picture), 1.0)
    base = brush.ramp(
        tone,
        (0.0, (0.02, 0.12, 0.3)),
        (0.45, (0.25, 0.6, 0.85)),
        (0.8, (0.75, 0.93, 1.0)),
        (1.0, (1.0, 1.0, 1.0)),
    )
    frost = np.clip(1.2 * brush.edges(picture, sigma_px=1.4, gain=7.5), 0, 0.9)
    return brush.mix(base, (0.97, 1.0, 1.0), frost)


def lava(picture: Picture) -> Picture:
    tone = brush.blur(brush.grey(picture), 1.2)
    glow = brush.blur(brush.edges(picture, sigma_px=1.4, gain=6.0), 1.2)
    heat = np.clip(0.75 * tone**1.6 + 0.8 * glow, 0, 1)
    return brush.ramp(
        heat,
        (0.0, (0.04, 0.01, 0.01)),
        (0.25, (0.35, 0.02, 0.0)),
        (0.5, (0.9, 0.2, 0.0)),
        (0.75, (1.0, 0.65, 0.05)),
        (1.0, (1.0, 1.0, 0.7)),
    )


def gold(picture: Picture) -> Picture:
    tone = brush.blur(brush.grey(picture), 1.5)
    # a polished metal mirrors bright and dark bands as its surface turns
    shine = np.clip(0.5 + 0.42 * np.sin(tone * 11.0 - 1.2) + 0.25 * (tone - 0.5), 0, 1)
    base = brush.ramp(
        shine.astype(np.float32),
        (0.0, (0.16, 0.08, 0.01)),
        (0.4, (0.6, 0.38, 0.06)),
        (0.75, (0.95, 0.76, 0.25)),
        (1.0, (1.0, 0.97, 0.75)),
    )
    return np.asarray(base * (1 - 0.5 * brush.lines(picture)[..., None]), np.float32)


def noir(picture: Picture) -> Picture:
    tone = brush.blur(brush.grey(picture), 0.8)
    local = tone - 0.75 * (brush.blur(tone, 12.0) - 0.42)
    value = np.asarray(1 / (1 + np.exp(-(local - 0.42) * 16)), np.float32)
    return brush.ramp(value, (0, (0.02, 0.02, 0.03)), (1, (0.94, 0.94, 0.92)))


def pop_art(picture: Picture) -> Picture:
    tone = brush.posterise(np.clip(brush.blur(brush.grey(picture), 1.6) * 1.1, 0, 1), 4, 0.4)
    base = brush.ramp(
        tone,
        (0.0, (0.2, 0.05, 0.45)),
        (0.25, (0.1, 0.35, 0.95)),
        (0.5, (1.0, 0.15, 0.55)),
        (0.75, (1.0, 0.6, 0.1)),
        (1.0, (1.0, 0.95, 0.3)),
    )
    ink = np.clip(1.3 * brush.lines(picture), 0, 1)
    return brush.mix(base, (0.05, 0.0, 0.15), ink)


def xray(picture: Picture) -> Picture:
    tone = 1 - brush.blur(brush.grey(picture), 1.5)
    bone = brush.edges(picture, sigma_px=1.5, gain=7.0)
    value = np.clip(0.55 * tone**1.5 + 0.65 * bone, 0, 1)
    return brush.ramp(
        value, (0, (0.0, 0.01, 0.04)), (0.5, (0.2, 0.42, 0.58)), (1, (0.92, 1.0, 1.0))
    )


def night_vision(picture: Picture) -> Picture:
    tone = brush.blur(brush.grey(picture), 0.8)
    local = np.clip(1.1 * (tone - 0.6 * brush.blur(tone, 10.0)) + 0.3, 0, 1)
    bloom = brush.blur(np.clip(local - 0.55, 0, 1), 4.0)
    lines = 1 - 0.3 * brush.grid(tone, np.repeat([[0.0], [1.0]], 2, axis=0))
    value = np.clip(local**1.3 + 1.2 * bloom, 0, 1) * lines
    return brush.ramp(value, (0, (0.0, 0.05, 0.01)), (0.6, (0.1, 0.75, 0.2)), (1, (0.8, 1.0, 0.7)))


def marble(picture: Picture) -> Picture:
    """A relief in pale stone, lit from the upper left."""
    height = brush.blur(brush.grey(picture), 1.4)
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.25)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.25)
    light = np.clip(0.62 + 5.0 * (dx + dy) + 0.25 * (height - 0.5), 0, 1)
    return brush.ramp(
        light, (0, (0.2, 0.19, 0.2)), (0.6, (0.74, 0.72, 0.7)), (1, (1.0, 0.99, 0.96))
    )


def pixel_art(picture: Picture) -> Picture:
    cells = brush.saturate(brush.cells(picture, 4), 1.6)
    stepped = np.stack([brush.posterise(cells[..., c], 4, 0.35) for c in range(3)], axis=-1)
    line = np.array([0.0, 0.0, 0.0, 1.0])
    seam = brush.grid(brush.grey(picture), np.maximum(line[:, None], line[None, :]))
    return np.asarray(brush.tile(stepped, 4) * (1 - 0.45 * seam[..., None]), np.float32)


def bricks(picture: Picture) -> Picture:
    """Toy bricks seen from above: a stud on each cell, lit from the upper left."""
    size_px = 8
    cells = brush.saturate(brush.cells(picture, size_px), 1.7)
    cells = np.stack([brush.posterise(cells[..., c], 5, 0.4) for c in range(3)], axis=-1)
    height, width = cells.shape[:2]
    line = np.linspace(-1, 1, size_px, dtype=np.float32)
    slope = -(line[:, None] + line[None, :]) / 2
    radius = brush.cell_radius(size_px)
    rim = np.exp(-(((radius - 0.62) / 0.22) ** 2)) * slope * 0.55
    seam = np.where((np.abs(line) > 0.99)[:, None] | (np.abs(line) > 0.99)[None, :], -0.14, 0.0)
    relief = np.tile((rim + seam).astype(np.float32), (height, width))
    return np.asarray(
        np.clip(brush.tile(cells, size_px) * 0.95 + relief[..., None], 0, 1), np.float32
    )


def halftone(picture: Picture) -> Picture:
    """Newsprint: ink dots on two crossed grids, larger where it is darker."""
    ink = 1 - brush.press(picture)
    line = np.abs((np.arange(8) + 0.5) / 4 - 1)
    near = np.hypot(line[:, None], line[None, :])
    far = np.hypot(1 - line[:, None], 1 - line[None, :])
    distance = brush.grid(ink, np.minimum(near, far))
    dots = np.asarray(np.clip((0.95 * np.sqrt(ink) - distance) / 0.35 + 0.5, 0, 1), np.float32)
    return brush.ramp(dots, (0, (0.97, 0.93, 0.82)), (1, (0.12, 0.1, 0.16)))


def engraving(picture: Picture) -> Picture:
    """A banknote's slanted lines, thicker where it is darker, under a drawn outline."""
    ink = 1 - brush.press(picture)
    y, x = np.mgrid[0:8, 0:8] * (2 * np.pi / 8)
    wave = brush.grid(ink, 0.5 + 0.5 * np.cos(x + y))
    lines = np.clip((wave - 1 + 1.25 * ink) / 0.5 + 0.2, 0, 1) * np.clip(4 * ink, 0, 1)
    cover = np.maximum(lines, np.clip(brush.lines(picture, sigma_px=1.5), 0, 1))
    return brush.ramp(cover, (0, (0.93, 0.95, 0.86)), (1, (0.04, 0.2, 0.16)))


def mosaic(picture: Picture) -> Picture:
    """Glazed tiles in pale grout, each with a glint at its upper left."""
    glaze = brush.saturate(brush.blur(picture, 1.8), 1.9)
    line = np.abs((np.arange(8) + 0.5) / 4 - 1)
    square = np.maximum(line[:, None], line[None, :])
    ramp = (np.arange(8) - 3.5) / 3.5
    slope = -(ramp[:, None] + ramp[None, :]) / 2
    tone = brush.grey(picture)
    glazed = glaze * 1.05 + 0.16 * brush.grid(tone, slope)[..., None]
    grout = brush.grid(tone, np.where(square > 0.8, 1.0, 0.0))
    return np.clip(brush.mix(np.asarray(glazed, np.float32), (0.86, 0.83, 0.76), grout), 0, 1)


def knitted(picture: Picture) -> Picture:
    """Wool: two slanted strands to a stitch, dark where they meet."""
    yarn = brush.saturate(brush.blur(picture, 2.0), 1.7)
    column = np.abs((np.arange(8) + 0.5) / 4 - 1)  # 0 in the middle, 1 at the sides
    row = (np.arange(8) + 0.5) / 8
    strand = 0.5 + 0.5 * np.cos(2 * np.pi * (row[:, None] + 0.5 * column[None, :]))
    dips = np.exp(-(((column[:, None] - np.array([0.0, 1.0])) / 0.28) ** 2))
    valley = 1 - dips @ np.array([0.55, 0.4])
    light = brush.grid(brush.grey(picture), (0.55 + 0.6 * strand) * valley[None, :])
    return np.asarray(np.clip(yarn * 1.25 * light[..., None] + 0.02, 0, 1), np.float32)


def chalkboard(picture: Picture) -> Picture:
    """Soft chalk on a green board: outlines, and light areas rubbed in."""
    tone = brush.blur(brush.grey(picture), 2.0)
    chalk = np.clip(1.5 * brush.edges(picture, sigma_px=1.7, gain=9.0) - 0.08, 0, 1)
    rubbed = 0.4 * np.clip((tone - brush.blur(tone, 14.0)) * 3 + 0.15, 0, 1)
    board = brush.ramp(tone, (0, (0.05, 0.13, 0.11)), (1, (0.1, 0.25, 0.2)))
    return brush.mix(board, (0.95, 0.95, 0.88), np.clip(chalk + rubbed, 0, 0.95))


def psychedelic(picture: Picture) -> Picture:
    """Colours that run round the wheel with the light, with dark contours."""
    tone = brush.blur(brush.grey(picture), 2.0)
    phases = np.array([0.0, 2.1, 4.2], np.float32)
    wheel = 0.55 + 0.5 * np.cos(9.0 * tone[..., None] - phases)
    ink = np.clip(1.2 * brush.lines(picture, sigma_px=1.6), 0, 1)
    return brush.mix(np.asarray(np.clip(wheel, 0, 1), np.float32), (0.08, 0.0, 0.2), 0.85 * ink)


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "pencil": pencil,
        "neon": neon,
        "thermal": thermal,
        "comic": comic,
        "oil painting": oil,
        "watercolour": watercolour,
        "blueprint": blueprint,
        "cyberpunk": cyberpunk,
        "ice": ice,
        "lava": lava,
        "gold": gold,
        "noir": noir,
        "pop art": pop_art,
        "x-ray": xray,
        "night vision": night_vision,
        "marble": marble,
        "pixel art": pixel_art,
        "toy bricks": bricks,
        "halftone": halftone,
        "engraving": engraving,
        "mosaic": mosaic,
        "knitted": knitted,
        "chalkboard": chalkboard,
        "psychedelic": psychedelic,
    }
)

# the others looked good on the sheet of samples: oil is little but richer colour
WEAK = ("oil painting",)
OFFERED: tuple[str, ...] = tuple(name for name in STYLES if name not in WEAK)

# these draw cells or strokes that repeat every 8 pixels, so a ratio of blocks says nothing of them
OWN_GRID = ("pixel art", "toy bricks", "halftone", "engraving", "mosaic", "knitted")

# how often a style is practised beside the others: lines are hard, grids of one cell are not
EMPHASIS: Mapping[str, float] = MappingProxyType(
    {
        "pencil": 2.0,
        "neon": 1.5,
        "comic": 2.0,
        "blueprint": 1.5,
        "x-ray": 1.5,
        "ice": 1.5,
        "chalkboard": 1.5,
        "pop art": 1.5,
        "toy bricks": 0.6,
        "mosaic": 0.6,
        "knitted": 0.6,
        "pixel art": 0.6,
    }
)
