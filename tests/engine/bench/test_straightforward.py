"""The yardstick of `make bench-engine` computes what the engine computes."""

from dataclasses import replace

import pytest
import torch

from tests.bench.engine import DIT, SideBySide


@pytest.mark.parametrize("batch", [1, 2])
def test_both_take_the_same_steps(batch: int) -> None:
    """From the first chunk until the ring has turned twice, the flows are equal."""
    comparison = SideBySide(
        batch=batch, dit=replace(DIT, dim=64, heads=2, layers=2, ffn_dim=64), rows=4, columns=6
    )
    with torch.inference_mode():
        differences = [comparison.round(ours_first=True).difference for _ in range(14)]
    assert max(differences) < 1e-4
