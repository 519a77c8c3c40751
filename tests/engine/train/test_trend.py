"""train/trend.py: a slope is told from the noise it stands in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.train.trend import trend


@given(st.floats(-5, 5), st.floats(-100, 100), st.integers(3, 60))
def test_a_line_is_found(slope: float, start: float, count: int) -> None:
    """values on a line have its slope, and no doubt about it."""
    found = trend([start + slope * n for n in range(count)])
    assert found.slope == pytest.approx(slope, abs=1e-9)
    assert found.standard_error == pytest.approx(0, abs=1e-6)


def test_noise_goes_nowhere() -> None:
    """of a hundred series of pure noise hardly one is taken for a drift."""
    rng = np.random.default_rng(1)
    taken = [trend(list(rng.normal(100, 3, 200))).is_noise for _ in range(100)]
    assert sum(taken) >= 97


def test_a_slow_wander_goes_nowhere_either() -> None:
    """neighbours that resemble each other widen the doubt as they must."""
    rng = np.random.default_rng(2)
    taken = []
    for _ in range(100):
        values = [0.0]
        for step in rng.normal(0, 1, 400):
            values.append(0.7 * values[-1] + float(step))
        taken.append(trend(values).is_noise)
    assert sum(taken) >= 95


def test_a_small_drift_in_much_noise_is_seen() -> None:
    """a level in a thousand values, under noise of a fifth of it, is a drift."""
    rng = np.random.default_rng(3)
    values = rng.normal(0, 0.2, 1000) + np.arange(1000) / 1000
    found = trend(list(values))
    assert not found.is_noise
    assert found.slope == pytest.approx(1e-3, rel=0.1)


def test_a_constant_series_has_no_drift() -> None:
    assert trend([7.0] * 10).is_noise


def test_two_values_are_no_trend() -> None:
    with pytest.raises(ValueError, match="2 values are given, a trend needs at least 3"):
        trend([1.0, 2.0])
