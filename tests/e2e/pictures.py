"""Comparing recorded pictures whatever the style: distance, delay, character.

T pictures, H rows, W columns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LONGEST_DELAY_MS = 6_000.0  # less than the camera's loop, after which it would match again
_DELAY_STEP_MS = 50.0
RESTYLED_LEVELS = 12.0  # an echo is 3 levels from the camera's picture, the mildest style 16
_OTHER_LEVELS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What a video element presented: `[T, H, W, 3]` RGB, and when each was presented."""

    rgb: NDArray[np.uint8]
    at_ms: NDArray[np.float64]

    @property
    def luma(self) -> NDArray[np.uint8]:
        """`[T, H, W]`, full range."""
        return (self.rgb @ _LUMA).round().astype(np.uint8)

    @property
    def outlines(self) -> NDArray[np.float32]:
        """The gradient of the luma, `[T, H-1, W-1]`: a change of style leaves it in place."""
        luma = self.rgb.astype(np.float32) @ _LUMA
        gradient: NDArray[np.float32] = np.hypot(
            np.diff(luma, axis=1)[:, :, 1:], np.diff(luma, axis=2)[:, 1:, :]
        )
        return gradient


def distance(pictures: Pictures, others: Pictures) -> float:
    """Mean absolute difference of `pictures` and `others`, in levels of 255.

    Every picture is compared with the most similar one of the others, so that a delay between the
    two does not count.
    """
    values = others.rgb.astype(np.float32)
    nearest = [np.abs(values - picture).mean((1, 2, 3)).min() for picture in pictures.rgb]
    return float(np.mean(nearest))


def change(pictures: Pictures) -> float:
    """Mean absolute difference of each picture and the next, in levels of 255."""
    return float(np.abs(np.diff(pictures.rgb.astype(np.float32), axis=0)).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """At which delay pictures match others.

    Args:
        delay_ms: at which they correlate best.
        correlation: of the moving outlines at that delay.
        baseline: the median over all delays.
    """

    delay_ms: float
    correlation: float
    baseline: float


def align(pictures: Pictures, others: Pictures) -> Alignment:
    """The delay at which `pictures` match `others` best, by what moves in them."""
    correlation_TS = _moving(pictures.outlines) @ _moving(others.outlines).T
    delays = np.arange(0.0, LONGEST_DELAY_MS, _DELAY_STEP_MS)
    means = np.array([_mean_at(correlation_TS, pictures.at_ms - d, others.at_ms) for d in delays])
    best = int(means.argmax())
    return Alignment(
        delay_ms=float(delays[best]),
        correlation=float(means[best]),
        baseline=float(np.median(means)),
    )


def _moving(edges: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outlines as unit vectors `[T, pixels]`, less the mean picture, which stands still."""
    flat = (edges - edges.mean(0)).reshape(len(edges), -1)
    flat -= flat.mean(1, keepdims=True)
    unit: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit


def _mean_at(
    correlation_TS: NDArray[np.float32],
    at_ms: NDArray[np.float64],
    others_at_ms: NDArray[np.float64],
) -> float:
    """Mean correlation of each picture with the other that was there at its time in `at_ms`."""
    inside = at_ms >= others_at_ms[0]
    if not inside.any():
        return 0.0
    nearest = np.abs(others_at_ms[None, :] - at_ms[inside, None]).argmin(1)
    return float(correlation_TS[inside][np.arange(len(nearest)), nearest].mean())


def differs_in_style(pictures: Pictures, others: Pictures) -> bool:
    """Whether colour, contrast or outlines differ by more than the scene makes them vary."""
    (mean, spread), (other_mean, other_spread) = _style_features(pictures), _style_features(others)
    shift = np.abs(mean - other_mean)
    return bool((shift > np.maximum(2 * np.maximum(spread, other_spread), _OTHER_LEVELS)).any())


def _style_features(pictures: Pictures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread of R, G, B, the deviation of luma, saturation, and mean outline."""
    values = pictures.rgb.astype(np.float32)
    features = np.stack(
        [
            *values.mean((1, 2)).T,
            (values @ _LUMA).std((1, 2)),
            (values.max(3) - values.min(3)).mean((1, 2)),
            pictures.outlines.mean((1, 2)),
        ],
        axis=1,
    )
    return features.mean(0), features.std(0)
