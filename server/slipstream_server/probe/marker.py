"""A number in the pixels that survives scaling, lossy video, cuts and a model's styles. Pure.

Thirty cells in three rows lie around the middle column; a cell of a 1 is white with a black dot in
it, one of a 0 is black. Sixteen cells are the number, six its checksum, and eight are the same in
every picture: a style may turn brightness around, leave lines only or paint over, but it treats
like cells alike, and those eight show the reader how this one renders a 1 and a 0.
"""

import numpy as np
from numpy.typing import NDArray

NUMBERS = 1 << 16  # a greater number is written modulo this
_ROWS, _COLUMNS = 3, 10
_TOP = 0.14  # of the picture's height: a cut of 4:3 to 16:9 leaves the code whole
_ROW = 0.10
_COLUMN = 0.10  # of the picture's height too: so does a cut to a square
_CELLS = _ROWS * _COLUMNS
_CHECK_BITS = 6
_CHECK_POLYNOMIAL = 0b100_0011  # CRC-6/ITU, x^6 + x + 1: two wrong bits are noticed
_BLACK, _WHITE = 16, 235  # the limits of video luma
_REFERENCE = np.linspace(0, _CELLS - 1, 8).round().astype(int)
_REFERENCE_BITS = np.array([0, 1] * 4, bool)
_DATA = np.setdiff1d(np.arange(_CELLS), _REFERENCE)
_SAMPLES = 24  # of a cell's side; its border is left out, where neighbours bleed into it
_BORDER = 1 / 6
_NOISE = 9.0  # variance of a measure below which it tells nothing

Luma = NDArray[np.uint8]


def draw_marker(luma: Luma, number: int) -> None:
    """Write `number` (mod `NUMBERS`) into a luma plane `[H, W]`, W at least H."""
    height, width = luma.shape
    for cell, bit in enumerate(_cells(number)):
        row, column = divmod(cell, _COLUMNS)
        top, left = _TOP + row * _ROW, (column - _COLUMNS / 2) * _COLUMN
        rows = slice(round(height * top), round(height * (top + _ROW)))
        columns = slice(
            round(width / 2 + height * left), round(width / 2 + height * (left + _COLUMN))
        )
        luma[rows, columns] = _WHITE if bit else _BLACK
        if bit:
            down, right = (rows.stop - rows.start) // 3, (columns.stop - columns.start) // 3
            luma[rows, columns][down:-down, right:-right] = _BLACK


def read_marker(luma: Luma, *, cut_from: float | None = None) -> int | None:
    """The number in a luma plane `[H, W]`, or None where there is none that checks.

    Args:
        cut_from: width to height of the picture that was drawn into, if this one may be a cut from
            the middle of it that lost rows.
    """
    height, width = luma.shape
    drawn_height = height if cut_from is None else max(height, width / cut_from)
    within = (np.arange(_SAMPLES) + 0.5) / _SAMPLES * (1 - 2 * _BORDER) + _BORDER
    down = _TOP - 0.5 + (np.arange(_ROWS)[:, None] + within).ravel() * _ROW
    right = (np.arange(_COLUMNS)[:, None] + within - _COLUMNS / 2).ravel() * _COLUMN
    ys = (height / 2 + down * drawn_height).astype(int)
    xs = (width / 2 + right * drawn_height).astype(int)
    if ys[0] < 0 or xs[0] < 0 or ys[-1] >= height or xs[-1] >= width:
        return None
    cells = luma[np.ix_(ys, xs)].reshape(_ROWS, _SAMPLES, _COLUMNS, _SAMPLES)
    return _number(_measures(cells.transpose(0, 2, 1, 3).reshape(_CELLS, _SAMPLES, _SAMPLES)))


def _cells(number: int) -> NDArray[np.bool_]:
    word = number % NUMBERS << _CHECK_BITS | _checksum(number % NUMBERS)
    cells = np.zeros(_CELLS, bool)
    cells[_REFERENCE] = _REFERENCE_BITS
    cells[_DATA] = [word >> shift & 1 for shift in reversed(range(len(_DATA)))]
    return cells


def _checksum(number: int) -> int:
    remainder = number << _CHECK_BITS
    for shift in reversed(range(16)):
        if remainder >> shift + _CHECK_BITS & 1:
            remainder ^= _CHECK_POLYNOMIAL << shift
    return remainder


def _measures(cells: Luma) -> NDArray[np.float64]:
    """What is told of each cell `[cell, y, x]`, `[cell, measure]`: its mean, its contrast, and how
    its middle stands out."""
    quarter = _SAMPLES // 4
    means = cells.mean((1, 2))
    middles = cells[:, quarter:-quarter, quarter:-quarter].mean((1, 2))
    return np.stack([means, cells.std((1, 2)), middles - means], axis=1)


def _number(measures: NDArray[np.float64]) -> int | None:
    """Fisher's discriminant, with the reference cells for its classes."""
    reference = measures[_REFERENCE]
    ones, zeros = reference[_REFERENCE_BITS], reference[~_REFERENCE_BITS]
    difference = ones.mean(0) - zeros.mean(0)
    weights = difference / ((ones.var(0) + zeros.var(0)) / 2 + _NOISE)
    bits = (measures - (ones.mean(0) + zeros.mean(0)) / 2) @ weights > 0
    if (bits[_REFERENCE] != _REFERENCE_BITS).any():
        return None
    word = int("".join("01"[bit] for bit in bits[_DATA].astype(int)), 2)
    number = word >> _CHECK_BITS
    return number if _checksum(number) == word & (1 << _CHECK_BITS) - 1 else None
