"""The umT5 encoder: real tokens alone give what padded ones give; its tensors are the real ones."""

import math

import pytest
import torch
from slipstream_engine.models.text.umt5 import Umt5Config, Umt5Encoder, pad_rows, position_buckets

from tests.engine.keylists import own_shapes, real_shapes

SMALL = Umt5Config(vocabulary=50, dim=32, attention_dim=32, ffn_dim=48, heads=4, layers=2)


@pytest.mark.parametrize("real", [1, 5, 19])
def test_padding_does_not_touch_real_tokens(real: int) -> None:
    """encoding a prompt's tokens alone gives the rows that encoding it padded and masked gives."""
    torch.manual_seed(1)
    encoder = Umt5Encoder(SMALL).eval().requires_grad_(False)
    ids_BL = torch.randint(2, 50, (1, 24))
    ids_BL[:, real:] = 0
    mask_BL = torch.arange(24)[None] < real
    padded = encoder.forward(ids_BL, mask_BL)[0]
    alone = pad_rows(encoder.forward(ids_BL[:, :real])[0], 24)
    torch.testing.assert_close(alone[:real], padded[:real], atol=1e-5, rtol=1e-5)
    assert not alone[real:].any()


def test_buckets_are_those_of_the_logarithm() -> None:
    """the written-out thresholds are the formula's, evaluated a hair above each distance."""
    distance = torch.arange(1, 400, dtype=torch.float64)
    far = 8 + (torch.log(distance / 8) / math.log(16) * 8 + 1e-9).trunc()
    expected = torch.where(distance < 8, distance, far.clamp(max=15)).long()
    assert torch.equal(position_buckets(400)[1:, 0], expected)
    assert torch.equal(position_buckets(400)[0, 1:], expected + 16)


def test_the_real_model_has_the_real_tensors() -> None:
    """names and shapes of the whole checkpoint, none more and none less."""
    with torch.device("meta"):
        encoder = Umt5Encoder(Umt5Config())
    assert own_shapes(encoder) == real_shapes("umt5_xxl_encoder")
