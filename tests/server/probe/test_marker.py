"""The number in the pixels is read back; what is none is not taken for one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.probe.marker import NUMBERS, Luma, draw_marker, read_marker

NUMBER = st.integers(0, NUMBERS - 1)


def marked(number: int, height: int = 480, width: int = 640) -> Luma:
    luma = np.full((height, width), 128, np.uint8)
    draw_marker(luma, number)
    return luma


def halved(luma: Luma) -> Luma:
    height, width = luma.shape
    halves = luma.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return np.asarray(halves, np.uint8)


@given(NUMBER, st.sampled_from([(480, 640), (192, 256), (480, 832), (256, 256), (96, 96)]))
def test_a_number_is_read_back(number: int, shape: tuple[int, int]) -> None:
    """at every size that is served."""
    assert read_marker(marked(number, *shape)) == number


@given(NUMBER, st.integers(0, 2**32))
def test_it_survives_noise_scaling_and_cut_sides(number: int, seed: int) -> None:
    small = halved(marked(number)[:, 80:560])
    noisy = small + np.random.default_rng(seed).normal(0, 25, small.shape)
    assert read_marker(np.clip(noisy, 0, 255).astype(np.uint8)) == number


@given(NUMBER)
def test_it_survives_lost_rows_where_the_reader_knows(number: int) -> None:
    """a picture of 4:3 cut to 16:9."""
    cut = marked(number)[60:420]
    assert read_marker(cut, cut_from=4 / 3) == number
    assert read_marker(halved(cut), cut_from=4 / 3) == number
    assert read_marker(marked(number)[160:320], cut_from=4 / 3) is None


def test_lost_rows_of_which_the_reader_knows_nothing_are_hardly_ever_a_number() -> None:
    """the cells it looks at are halves of two: a checksum of six bits lets few of these pass."""
    numbers = range(0, NUMBERS, 131)
    read = [read_marker(marked(number)[60:420]) for number in numbers]
    assert sum(found is not None for found in read) <= len(numbers) // 100


@given(NUMBER, st.sampled_from(["negative", "outlines", "dim"]))
def test_it_survives_what_styles_do(number: int, style: str) -> None:
    """brightness turned around, edges alone, hardly any contrast left."""
    luma = marked(number)
    if style == "negative":
        luma = 255 - luma
    elif style == "dim":
        luma = luma // 8 + 100
    else:
        down, right = np.gradient(luma.astype(float))
        luma = np.clip(np.hypot(down, right) * 2, 0, 255).astype(np.uint8)
    assert read_marker(luma) == number


@given(NUMBER, st.sets(st.integers(0, 29), min_size=1, max_size=2))
def test_a_torn_code_is_no_number(number: int, cells: set[int]) -> None:
    """one or two wrong cells are noticed, or do no harm: never another number."""
    luma, other = marked(number, 480, 480), marked(number ^ 0xFFFF, 480, 480)
    for cell in cells:
        row, column = divmod(cell, 10)
        top, left = round(480 * (0.14 + 0.1 * row)), 48 * column
        luma[top : top + 48, left : left + 48] = other[top : top + 48, left : left + 48]
    assert read_marker(luma) in (None, number)


@given(st.integers(0, 2**32))
def test_pictures_without_a_code_have_no_number(seed: int) -> None:
    """one in some hundreds of random ones may: not one of the even ones."""
    rng = np.random.default_rng(seed)
    found = [read_marker(rng.integers(0, 256, (96, 96), np.uint8)) for _ in range(8)]
    assert sum(number is not None for number in found) <= 1
    assert read_marker(np.full((96, 96), rng.integers(0, 256), np.uint8)) is None
