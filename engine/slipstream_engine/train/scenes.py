"""Moving scenes for training: a camera over pictures and clips, drawn talking heads, shapes.

Frames are RGB float32 `[T, H, W, 3]` in [0, 1]. The random generator passed in decides everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slipstream_engine.train.sources import Frames, PictureSource, load_pictures

Clip = NDArray[np.float32]

STILL_SHARE = 0.25  # of clips: a webcam's picture is mostly still, and its output must be, too
SPEEDS = (0.0, 0.003, 0.01, 0.03, 0.08)  # of a camera move, in widths a frame
SPEED_SHARES = (0.1, 0.25, 0.3, 0.2, 0.15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A loaded source: its frames and where its face is, if it has one."""

    frames: Frames
    focus: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of the clips to generate."""

    frames: int
    width_px: int
    height_px: int


def footage(sources: Sequence[PictureSource]) -> list[Footage]:
    """Load `sources`; see `sources.load` for what can go wrong."""
    return [Footage(frames=load_pictures(source), focus=source.focus) for source in sources]


def travel(material: Footage, size: Size, rng: np.random.Generator) -> Clip:
    """A camera move over `material`: still, slow or fast, with some shake and turn."""
    _, rows, columns, _ = material.frames.shape
    widest = min(columns, rows * size.width_px / size.height_px)
    width = widest * float(np.exp(rng.uniform(np.log(0.35), 0.0)))
    centre = rng.uniform([0.0, 0.0], [columns, rows])
    if material.focus is not None and rng.random() < 0.6:
        width = widest * rng.uniform(0.4, 0.75)
        jitter = rng.normal(0, 0.06 * width, 2)
        centre = np.array(material.focus) * [columns, rows] + jitter
    speed_px = width * float(rng.choice(SPEEDS, p=SPEED_SHARES))
    heading = rng.uniform(0, 2 * np.pi)
    velocity = speed_px * np.array([np.cos(heading), np.sin(heading)])
    zoom_rate, turn_rate = rng.normal(0, [0.006, 0.004]) * min(1.0, 300 * speed_px / width)
    turn = rng.normal(0, 0.12)
    first, stride = _frame_range(material.frames.shape[0], size.frames, rng)
    flip = rng.random() < 0.5
    clip = []
    for t in range(size.frames):
        scale = width * np.exp(zoom_rate * t) / size.width_px
        frame = material.frames[first + stride * t]
        half = np.array([size.width_px, size.height_px]) * scale / 2
        middle = np.clip(centre + velocity * t, half, np.maximum([columns, rows] - half, half))
        clip.append(_view(frame, middle, scale, turn + turn_rate * t, size))
    moving = np.stack(clip)
    return moving[:, :, ::-1] if flip else moving


def _frame_range(available: int, frames: int, rng: np.random.Generator) -> tuple[int, int]:
    """First frame and stride in a source; a source with too few frames is shown as a still."""
    if available < frames:
        return 0, 0
    stride = int(rng.integers(1, min(3, (available - 1) // max(1, frames - 1)) + 1))
    return int(rng.integers(0, available - stride * (frames - 1))), stride


def _view(
    frame: Frames, middle: NDArray[np.float64], scale: float, turn: float, size: Size
) -> Clip:
    """The picture of a camera at `middle`; one of its pixels is `scale` source pixels wide."""
    picture = frame.astype(np.float32) / 255
    if scale > 1.2:  # a plain warp would alias
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45 * scale), np.float32)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    x, y = size.width_px / 2, size.height_px / 2
    back = np.array(
        [
            [cos, -sin, middle[0] - cos * x + sin * y],
            [sin, cos, middle[1] - sin * x - cos * y],
        ]
    )
    return np.asarray(
        cv2.warpAffine(
            picture,
            back,
            (size.width_px, size.height_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.float32,
    )


def talking_head(backdrop: Footage, size: Size, rng: np.random.Generator) -> Clip:
    """A drawn person before a webcam: head, hair, shoulders, eyes and a mouth that move."""
    behind = travel(backdrop, size, rng)
    blur_px = rng.uniform(0.3, 5.0)
    height = size.height_px
    radius = height * rng.uniform(0.17, 0.3)
    home = np.array([size.width_px * rng.uniform(0.35, 0.65), height * rng.uniform(0.38, 0.52)])
    sway = rng.uniform(0, 0.25) * radius
    phases, rates = rng.uniform(0, 6.28, 4), rng.uniform(0.05, 0.6, 4)
    skin = np.array([0.93, 0.74, 0.62]) * rng.uniform(0.35, 1.05) + rng.normal(0, 0.02, 3)
    hair, cloth = rng.uniform(0.03, 0.5, 3) * [1.1, 0.9, 0.7], rng.uniform(0.05, 0.95, 3)
    light = rng.uniform(-1, 1, 2)
    clip = []
    for t in range(size.frames):
        swing = np.sin(phases + rates * t)
        head = home + sway * swing[:2]
        picture = cv2.GaussianBlur(behind[t], (0, 0), blur_px)
        _person(picture, head, radius, skin, hair, cloth, swing[2])
        clip.append(_lit(cv2.GaussianBlur(picture, (0, 0), 0.7), head, radius, light))
    return np.stack(clip).astype(np.float32)


def _person(
    picture: Clip,
    head: NDArray[np.float64],
    radius: float,
    skin: NDArray[np.float64],
    hair: NDArray[np.float64],
    cloth: NDArray[np.float64],
    opening: float,
) -> None:
    def blob(
        x: float, y: float, wide: float, high: float, colour: NDArray[np.float64], end: int = 360
    ) -> None:
        at = (round(head[0] + x * radius), round(head[1] + y * radius))
        axes = (max(1, round(wide * radius)), max(1, round(high * radius)))
        tone = tuple(float(c) for c in np.clip(colour, 0, 1))
        cv2.ellipse(picture, at, axes, 0, 180 if end == 180 else 0, 360, tone, -1)

    blob(0, 3.1, 2.3, 1.7, cloth)
    blob(0, 1.2, 0.42, 0.8, skin * 0.85)
    blob(0, -0.25, 1.0, 1.15, hair)
    blob(0, 0.1, 0.82, 1.1, skin)
    blob(0, -0.45, 0.8, 0.5, hair, end=180)
    for side in (-1, 1):
        blob(side * 0.33, -0.08, 0.17, 0.1, np.array([0.95, 0.95, 0.95]))
        blob(side * 0.33 + 0.03 * opening, -0.08, 0.07, 0.09, hair * 0.3)
        blob(side * 0.33, -0.27, 0.2, 0.04, hair * 0.6)
    blob(0, 0.25, 0.09, 0.2, skin * 0.8)
    blob(0, 0.62, 0.3, 0.05 + 0.09 * abs(opening), skin * [0.75, 0.4, 0.4])


def _lit(
    picture: Clip, head: NDArray[np.float64], radius: float, light: NDArray[np.float64]
) -> Clip:
    """Shade by a lamp at one side, so that faces are round rather than flat."""
    rows, columns = picture.shape[:2]
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    slope = ((x - head[0]) * light[0] + (y - head[1]) * light[1]) / (2.2 * radius)
    return np.asarray(np.clip(picture * (1 - 0.3 * np.tanh(slope))[..., None], 0, 1), np.float32)


def shapes(size: Size, rng: np.random.Generator) -> Clip:
    """Coloured discs and bars that drift over a gradient: clean edges in every hue and turn."""
    y, x = np.mgrid[0 : size.height_px, 0 : size.width_px].astype(np.float32)
    turn = rng.uniform(0, 6.28)
    ramp = (np.cos(turn) * x / size.width_px + np.sin(turn) * y / size.height_px) * 0.7 + 0.5
    ground = rng.uniform(0, 1, 3) * (1 - ramp[..., None]) + rng.uniform(0, 1, 3) * ramp[..., None]
    count = int(rng.integers(3, 9))
    at = rng.uniform([0, 0], [size.width_px, size.height_px], (count, 2))
    drift = rng.normal(0, 1, (count, 2)) * rng.choice([0.0, 0.7, 3.0])
    reach = rng.uniform(8, 60, (count, 2))
    angle, spin = rng.uniform(0, 180, count), rng.normal(0, 1.5, count)
    colour = rng.uniform(0, 1, (count, 3))
    clip = []
    for t in range(size.frames):
        picture = np.ascontiguousarray(ground, np.float32)
        for k in range(count):
            where = tuple(int(v) for v in at[k] + drift[k] * t)
            axes = tuple(int(v) for v in reach[k])
            tone = tuple(float(c) for c in colour[k])
            if k % 2:
                cv2.ellipse(picture, where, axes, angle[k] + spin[k] * t, 0, 360, tone, -1)
            else:
                box = cv2.boxPoints((where, axes, float(angle[k] + spin[k] * t)))
                cv2.fillPoly(picture, [box.astype(np.int32)], tone)
        clip.append(cv2.GaussianBlur(picture, (0, 0), 0.7))
    return np.clip(np.stack(clip), 0, 1).astype(np.float32)


def scene(material: Sequence[Footage], size: Size, rng: np.random.Generator) -> Clip:
    """One clip of any kind, graded as some camera might; some stand still, some have a cut."""
    clip = _any(material, size, rng)
    if rng.random() < STILL_SHARE:
        return grade(np.repeat(clip[:1], size.frames, axis=0), rng)
    if rng.random() < 1 / 12:
        at = int(rng.integers(1, size.frames))
        clip = np.concatenate([clip[:at], _any(material, size, rng)[at:]])
    return grade(clip, rng)


def _any(material: Sequence[Footage], size: Size, rng: np.random.Generator) -> Clip:
    kind = rng.random()
    pick = material[int(rng.integers(len(material)))]
    if kind < 0.12:
        return shapes(size, rng)
    if kind < 0.37:
        return talking_head(pick, size, rng)
    if kind < 0.55:  # clips move by themselves and are worth more than their number
        clips = [m for m in material if len(m.frames) > 1] or list(material)
        pick = clips[int(rng.integers(len(clips)))]
    return travel(pick, size, rng)


def grade(clip: Clip, rng: np.random.Generator) -> Clip:
    """Exposure, contrast, white balance and saturation of some other camera and room."""
    if rng.random() < 0.25:
        return clip
    balance = np.exp(rng.normal(0, 0.09, 3)).astype(np.float32)
    gamma, contrast = float(np.exp(rng.normal(0, 0.25))), float(rng.uniform(0.7, 1.2))
    lift, saturation = float(rng.uniform(-0.08, 0.12)), float(rng.uniform(0.5, 1.5))
    clip = np.clip(clip, 0, 1) ** gamma * balance
    grey = clip.mean(axis=-1, keepdims=True)
    clip = (grey + saturation * (clip - grey) - 0.5) * contrast + 0.5 + lift
    return np.asarray(np.clip(clip, 0, 1), np.float32)


def sensor(clip: Clip, rng: np.random.Generator) -> Clip:
    """What a webcam makes of `clip`: some softness and some noise."""
    noise = float(rng.choice([0.0, 0.006, 0.015, 0.03], p=[0.3, 0.3, 0.25, 0.15]))
    soft = float(rng.choice([0.0, 0.6, 0.9], p=[0.6, 0.25, 0.15]))
    seen = clip
    if soft:
        seen = np.stack([cv2.GaussianBlur(frame, (0, 0), soft) for frame in seen])
    if noise:
        seen = seen + rng.normal(0, noise, seen.shape).astype(np.float32)
    return np.asarray(np.clip(seen, 0, 1), np.float32)
