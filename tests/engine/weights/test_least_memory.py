"""The least memory of a preset, against what is counted at its real size."""

import pytest
from slipstream_engine.weights.factory import configure
from slipstream_engine.weights.least_memory import least_device_bytes
from slipstream_engine.weights.request import ModelRequest

from tests.fake_cuda.budgets import read_budgets


@pytest.mark.parametrize("preset", ["wan-1.3b", "wan-14b"])
def test_it_is_a_large_part_of_what_is_counted(preset: str) -> None:
    """and never more: what it says does not fit does not."""
    (counted,) = (budget for case, budget in read_budgets().items() if case == f"{preset} wan")
    per_stream, streams = counted["memory: cache MB"], 2
    whole = counted["memory: weights MB"] + streams * per_stream
    config = configure(ModelRequest(preset=preset, max_streams=streams, device="cpu"))
    assert 0.85 * whole < least_device_bytes(config) / 10**6 <= whole
