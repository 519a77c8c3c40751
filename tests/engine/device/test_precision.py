"""How exactly products are taken: quicker inside, and only there."""

import pytest
import torch
from slipstream_engine.device.precision import reduced_precision_matmul
from slipstream_engine.presets import PRESETS


def test_an_error_inside_leaves_no_trace() -> None:
    """the setting is the whole process's, so it is put back whatever happens."""
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ValueError, match="inside"), reduced_precision_matmul():
        assert torch.get_float32_matmul_precision() == "medium"
        raise ValueError("inside")
    assert torch.get_float32_matmul_precision() == before


def test_only_what_was_trained_so_is_run_so() -> None:
    """real checkpoints are as exact as their dtype."""
    assert [name for name, preset in PRESETS.items() if preset.reduced_precision] == ["tiny"]
