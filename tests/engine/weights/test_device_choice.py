"""weights/factory.py: which device is used and how, and why one cannot be."""

import pytest
import torch
from slipstream_engine.config import Compilation
from slipstream_engine.weights.factory import configure
from slipstream_engine.weights.request import ModelRequest


def no_driver() -> None:
    raise RuntimeError(
        "The NVIDIA driver on your system is too old (found version 11040).\nPlease update it."
    )


def test_a_gpu_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build without CUDA, a driver that is too old, a number that is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ValueError, match=r"torch can use: this torch is built without CUDA"):
        configure(ModelRequest(device="cuda:7"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", no_driver)
    with pytest.raises(ValueError, match=r"can use: The NVIDIA driver .* 11040\)\.; use cpu$"):
        configure(ModelRequest(device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="device is cuda:7, the last GPU here is cuda:1"):
        configure(ModelRequest(device="cuda:7"))


def test_graphs_are_the_default_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled on a CPU; and whoever names a way gets it. A GPU always has a number."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device, asked, expected in (
        ("cuda", None, ("cuda:0", Compilation.GRAPH)),
        ("cuda:1", Compilation.NONE, ("cuda:1", Compilation.NONE)),
        ("cpu", None, ("cpu", Compilation.NONE)),
        ("cpu", Compilation.GRAPH, ("cpu", Compilation.GRAPH)),
    ):
        config = configure(ModelRequest(device=device, compilation=asked))
        assert (config.device, config.compilation) == expected
