"""The code in the pixels is read back, and never read wrong."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.barcode import draw, read


@given(st.integers(0, 2**16 - 1), st.sampled_from([(480, 640), (192, 256), (480, 832), (256, 256)]))
def test_a_number_is_read_back(number: int, shape: tuple[int, int]) -> None:
    """at every size that is served."""
    luma = np.full(shape, 128, np.uint8)
    draw(luma, number)
    assert read(luma) == number


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32))
def test_it_survives_noise_scaling_and_a_cut(number: int, seed: int) -> None:
    """a lossy codec, a smaller size and cut sides leave it readable."""
    luma = np.full((480, 640), 128, np.uint8)
    draw(luma, number)
    square = luma[:, 80:560]
    small = square.reshape(240, 2, 240, 2).mean((1, 3))
    noisy = small + np.random.default_rng(seed).normal(0, 25, small.shape)
    assert read(np.clip(noisy, 0, 255).astype(np.uint8)) == number


@given(st.integers(0, 2**16 - 1), st.integers(0, 19))
def test_a_torn_code_is_no_number(number: int, cell: int) -> None:
    """one wrong cell is noticed."""
    luma = np.full((480, 480), 128, np.uint8)
    draw(luma, number)
    columns = slice(cell * 24, cell * 24 + 24)
    luma[:, columns] = 251 - luma[:, columns]
    assert read(luma) is None
