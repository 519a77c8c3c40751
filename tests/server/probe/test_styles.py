"""The number in the pixels survives the embedded model's styles."""

import pytest

from tests.bench.styles import Pipeline, load, read_share


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load(side_px=192)


@pytest.mark.parametrize("style", ["x-ray", "neon", "marble"])
def test_the_number_is_read_in_a_style_that_hides_brightness(
    pipeline: Pipeline, style: str
) -> None:
    """all that black and white cells alone do not survive; `tests/bench/styles.py` has each."""
    assert read_share(pipeline, style, frames=17) == 1.0
