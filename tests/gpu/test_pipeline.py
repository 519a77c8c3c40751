"""On a CUDA device: copies lose nothing; graphs and fused kernels make eager frames."""

import pytest
import torch

from tests.gpu.checks import CHECKS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_device_passes(check: str) -> None:
    CHECKS[check]("cuda:0")
