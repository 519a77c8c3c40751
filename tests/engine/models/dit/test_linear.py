"""models/dit/linear.py: the same numbers by whichever kernels."""

import pytest
import torch
import torch.nn.functional as F
from slipstream_engine.models.dit.linear import Linear
from torch import Tensor, nn


@pytest.fixture
def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(24, 40)


def as_torch(layer: Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


@pytest.mark.parametrize("shape", [(24,), (7, 24), (2, 3, 5, 24), (0, 24)])
def test_inference(layer: Linear, shape: tuple[int, ...]) -> None:
    """Any number of leading axes, and none of it is different but for rounding."""
    x = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), as_torch(layer, x))
        wanted = F.gelu(as_torch(layer, x), approximate="tanh")
        torch.testing.assert_close(layer.gelu(x), wanted)


def test_views(layer: Linear) -> None:
    """Input and weights may be views with any strides."""
    x = torch.randn(24, 7, 2).transpose(0, 2)
    layer.weight = nn.Parameter(torch.randn(24, 40).t())
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), as_torch(layer, x))


def test_training(layer: Linear) -> None:
    """Gradients flow to input and weights as ever."""
    x = torch.randn(7, 24, requires_grad=True)
    (layer(x).sum() + layer.gelu(x).sum()).backward()
    ours = [x.grad, layer.weight.grad, layer.bias.grad]
    x.grad = layer.weight.grad = layer.bias.grad = None
    out = as_torch(layer, x)
    (out.sum() + F.gelu(out, approximate="tanh").sum()).backward()
    for our, their in zip(ours, [x.grad, layer.weight.grad, layer.bias.grad], strict=True):
        assert our is not None
        torch.testing.assert_close(our, their)


def test_frozen_weights(layer: Linear) -> None:
    """Without a gradient to carry, the numbers do not depend on whether one could be."""
    x = torch.randn(7, 24)
    layer.requires_grad_(False)
    with torch.inference_mode():
        wanted = layer(x)
    assert torch.equal(layer(x), wanted)


def test_other_dtypes(layer: Linear) -> None:
    """bfloat16 goes torch's own way, to the same result."""
    x = torch.randn(7, 24, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert torch.equal(layer.bfloat16()(x), as_torch(layer, x))


def test_without_onednn(layer: Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch was built without oneDNN, it is torch's own layer."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    x = torch.randn(7, 24)
    with torch.inference_mode():
        assert torch.equal(layer(x), as_torch(layer, x))
