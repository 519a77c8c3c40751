"""The colours a style may come in: what each is called, and the tint it lays on a picture."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from slipstream_engine.train import brushes as brush
from slipstream_engine.train.brushes import Picture

AS_IT_COMES = ""

COLOURS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "red": (0.9, 0.08, 0.08),
        "orange": (0.98, 0.48, 0.04),
        "yellow": (0.95, 0.84, 0.1),
        "green": (0.12, 0.72, 0.2),
        "turquoise": (0.05, 0.74, 0.74),
        "blue": (0.12, 0.3, 0.95),
        "purple": (0.55, 0.15, 0.85),
        "pink": (0.98, 0.35, 0.68),
        "sepia": (0.6, 0.43, 0.27),
    }
)
TINTS: tuple[str, ...] = (AS_IT_COMES, *COLOURS)
KEPT = 0.15  # of the picture's own colours


def tint(picture: Picture, name: str) -> Picture:
    """The picture in shades of one colour: black stays black, white nearly white."""
    if name == AS_IT_COMES:
        return picture
    red, green, blue = COLOURS[name]
    tone = brush.grey(picture)
    light = (0.7 + 0.3 * red, 0.7 + 0.3 * green, 0.7 + 0.3 * blue)
    shades = brush.ramp(tone, (0, (0.0, 0.0, 0.0)), (0.55, (red, green, blue)), (1, light))
    return np.asarray(shades * (1 - KEPT) + picture * KEPT, np.float32)
