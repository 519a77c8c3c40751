"""Flat colours as samples of each matrix and range, and back, by the formulas of H.273."""

from av import VideoFrame

PATCHES = (
    (204, 26, 26),
    (26, 204, 26),
    (26, 26, 204),
    (230, 178, 153),
    (235, 235, 235),
    (20, 20, 20),
)
# luma weights of red and of blue, by the matrix's number
WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
RANGES = {False: (16, 219, 224), True: (0, 255, 255)}  # by is_full: black, luma, chroma
Colour = tuple[int, ...]
"""Three numbers: red, green and blue, or samples Y, U and V."""


def samples_of(colour: Colour, matrix: int, *, is_full: bool = False) -> Colour:
    """Y, U, V of a colour of red, green and blue."""
    kr, kb = WEIGHTS[matrix]
    black, luma, chroma = RANGES[is_full]
    red, green, blue = (part / 255 for part in colour)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    return round(black + luma * y), round(128 + chroma * u), round(128 + chroma * v)


def colour_of(samples: Colour, matrix: int, *, is_full: bool = False) -> Colour:
    """Red, green and blue of Y, U, V."""
    kr, kb = WEIGHTS[matrix]
    black, luma, chroma = RANGES[is_full]
    y = (samples[0] - black) / luma
    u, v = ((part - 128) / chroma for part in samples[1:])
    red, blue = y + (2 - 2 * kr) * v, y + (2 - 2 * kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    red, green, blue = (255 * min(1, max(0, part)) for part in (red, green, blue))
    return round(red), round(green), round(blue)


def flat(samples: Colour, *, width_px: int, height_px: int, format: str = "yuv420p") -> VideoFrame:
    """A picture of one colour."""
    frame = VideoFrame(width_px, height_px, format)
    for plane, value in zip(frame.planes, samples, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def distance(one: Colour, other: Colour) -> int:
    """By how many levels two colours differ, in the channel where they differ the most."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
