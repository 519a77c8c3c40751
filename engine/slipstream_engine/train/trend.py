"""Whether a series goes anywhere: its slope, and how far from 0 noise alone would put one. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WITHIN = 3.0  # standard errors: noise alone puts one slope in four hundred beyond them
_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A straight line through a series.

    Args:
        slope: from one value to the next.
        standard_error: of it.
    """

    slope: float
    standard_error: float

    @property
    def is_noise(self) -> bool:
        """Whether a series that goes nowhere may well have such a slope."""
        return abs(self.slope) <= WITHIN * self.standard_error


def trend(values: Sequence[float]) -> Trend:
    """The least-squares line through `values`, one apart.

    Neighbours that resemble each other (a slow wander about one place) say less than as many
    strangers: the error is widened by what the residuals' correlation makes of their number.

    Raises:
        ValueError: if there are too few values for a line and what is left of them.
    """
    if len(values) < _FEWEST:
        raise ValueError(f"{len(values)} values are given, a trend needs at least {_FEWEST}")
    y = np.asarray(values, np.float64)
    x = np.arange(len(y)) - (len(y) - 1) / 2
    slope = float(x @ y / (x @ x))
    left = y - y.mean() - slope * x
    variance = float(left @ left) / (len(y) - 2)
    alike = float(left[1:] @ left[:-1]) / float(left @ left) if variance > 0 else 0.0
    alike = min(max(alike, 0.0), 0.99)
    widened = variance * (1 + alike) / (1 - alike)
    return Trend(slope=slope, standard_error=math.sqrt(widened / float(x @ x)))
