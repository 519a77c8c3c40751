"""Builds of torch that convolve over time without cuDNN."""

import pytest
import torch
from slipstream_engine.device.convolutions import check_conv3d, why_no_cudnn_conv3d


@pytest.mark.parametrize(
    ("torch_version", "cudnn", "is_fine"),
    [
        ("2.6.0+cu124", 90100, True),
        ("2.8.0+cu128", 91002, True),
        ("2.9.0+cu130", 91501, False),
        ("2.9.1+cu128", 91002, False),
        ("2.9.1+cu130", None, False),
        ("2.9.1+cu130", 91501, True),
        ("2.10.0", 91501, True),
        ("2.11.0a0+git1234", 92100, True),
        ("3.0.0", 99999, True),
    ],
)
def test_which_do(torch_version: str, cudnn: int | None, is_fine: bool) -> None:
    """The reason names the version and what to install."""
    reason = why_no_cudnn_conv3d(torch_version, cudnn)
    assert (reason == "") is is_fine
    if reason:
        assert torch_version in reason and "install" in reason


def test_such_a_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before weights are read; this one here is not."""
    check_conv3d()
    monkeypatch.setattr(torch, "__version__", "2.9.0+cu130")
    with pytest.raises(ValueError, match="17 times the memory"):
        check_conv3d()
