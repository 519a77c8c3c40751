"""A number in the pixels: twenty black and white cells that survive scaling and lossy video.

Sixteen bits of the number and four of a checksum lie side by side near the top, each a twentieth of
the picture's height wide, around the middle column: cutting the sides off down to a square leaves
the code whole.
"""

import numpy as np
from numpy.typing import NDArray

_BITS = 16
_CELLS = 20
_TOP = 0.06
_BOTTOM = 0.16
BLACK, WHITE = 16, 235  # the limits of video luma


def _word(number: int) -> int:
    number %= 1 << _BITS
    checksum = sum(number >> shift & 0xF for shift in range(0, _BITS, 4)) * 7 + 5 & 0xF
    return number << 4 | checksum


def _cell(index: int, height: int, width: int) -> tuple[slice, slice]:
    left = width / 2 + (index - _CELLS / 2) * height / _CELLS
    rows = slice(round(height * _TOP), round(height * _BOTTOM))
    return rows, slice(round(left), round(left + height / _CELLS))


def draw(luma: NDArray[np.uint8], number: int) -> None:
    """Write `number` (mod 65536) into a luma plane `[H, W]`, W at least H."""
    word = _word(number)
    for index in range(_CELLS):
        bit = word >> (_CELLS - 1 - index) & 1
        luma[_cell(index, *luma.shape)] = WHITE if bit else BLACK


def read(luma: NDArray[np.uint8]) -> int | None:
    """The number in a luma plane, or None where there is none that checks."""
    word = 0
    for index in range(_CELLS):
        rows, columns = _cell(index, *luma.shape)
        inset = max(1, (columns.stop - columns.start) // 4)
        cell = luma[rows, columns][inset:-inset, inset:-inset]
        word = word << 1 | int(cell.mean() > (BLACK + WHITE) / 2)
    number = word >> 4
    return number if _word(number) == word else None
