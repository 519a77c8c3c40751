"""bench/flops.py: a chunk does the work the roofline counts, and no more."""

from functools import cache

import pytest
from slipstream_engine.bench.flops import ChunkFlop, chunk_flop
from slipstream_engine.weights.factory import configure
from slipstream_engine.weights.request import ModelRequest

SIZES = {"480x832": (832, 480), "512x512": (512, 512)}


@cache
def tera(preset: str, size: str, codec: str | None = None) -> tuple[float, float, float]:
    flop = chunk_flop(configure(ModelRequest(preset=preset, codec=codec, size_px=SIZES[size])))
    encode, step, decode = (round(n / 1e12, 2) for n in (flop.encode, flop.step, flop.decode))
    return encode, step, decode


@pytest.mark.parametrize(
    ("preset", "size", "step"),
    [
        ("wan-1.3b", "480x832", 6.74),
        ("wan-1.3b", "512x512", 3.82),
        ("wan-14b", "480x832", 49.91),
        ("wan-14b", "512x512", 30.07),
    ],
)
def test_a_step(preset: str, size: str, step: float) -> None:
    """One micro-step over a full cache."""
    assert tera(preset, size)[1] == step


@pytest.mark.parametrize(
    ("size", "encode", "decode"), [("480x832", 8.05, 13.55), ("512x512", 5.27, 8.88)]
)
def test_the_wan_codec(size: str, encode: float, decode: float) -> None:
    """A chunk in and out of Wan's own codec."""
    assert tera("wan-1.3b", size)[::2] == (encode, decode)


def test_a_codec_for_each_side() -> None:
    """Wan in, TAEHV out: its decoder is a twenty-fifth of Wan's."""
    encode, _, decode = tera("wan-1.3b", "480x832", "wan+taehv")
    assert (encode, decode) == (8.05, 0.54)


def test_a_chunk_is_its_parts() -> None:
    """Steps count as often as they are taken."""
    assert ChunkFlop(encode=5, step=3, decode=7).total(4) == 24
