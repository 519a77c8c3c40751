"""codec/hybrid.py: one codec encodes, another decodes, and the model sees the latents it knows."""

from typing import Any

import pytest
import torch
from slipstream_engine.codec.hybrid import (
    CodecName,
    CodecSides,
    HybridCodec,
    HybridState,
    LatentStatistics,
)
from slipstream_engine.models.vae.taehv import Taehv
from slipstream_engine.models.vae.wan_vae import LATENT_MEAN, LATENT_STD, WanVae, WanVaeConfig

from tests.engine.small_real import SIZES

CPU = torch.device("cpu")


def codecs() -> tuple[WanVae, Taehv]:
    torch.manual_seed(2)
    return WanVae(SIZES.wan_vae).requires_grad_(False), Taehv(SIZES.taehv).requires_grad_(False)


def clip() -> torch.Tensor:
    return torch.rand(13, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        ("wan", CodecName.WAN, CodecName.WAN),
        ("taehv", CodecName.TAEHV, CodecName.TAEHV),
        ("wan+taehv", CodecName.WAN, CodecName.TAEHV),
        ("taehv+wan", CodecName.TAEHV, CodecName.WAN),
    ],
)
def test_sides_by_name(name: str, encoder: CodecName, decoder: CodecName) -> None:
    """one name is both sides, two are encoder and decoder."""
    sides = CodecSides.named(name)
    assert (sides.encoder, sides.decoder) == (encoder, decoder)
    assert set(sides.used) == {encoder, decoder}
    assert len(sides.used) == len({encoder, decoder})


@pytest.mark.parametrize("name", ["", "vae", "wan+", "+wan", "wan+vae", "wan+wan+taehv"])
def test_an_unknown_codec_is_named(name: str) -> None:
    """what is no codec is answered with those there are."""
    with pytest.raises(
        ValueError, match=r"it must be wan or taehv, or .* like wan\+taehv"
    ) as raised:
        CodecSides.named(name)
    assert str(raised.value).startswith(f"codec is {name!r}")


def test_each_side_is_the_codec_it_names_piece_by_piece() -> None:
    """a pair gives what its encoder and its decoder give apart, each with a state of its own."""
    wan, taehv = codecs()
    pair = HybridCodec(wan, taehv)
    state, encoding, decoding = pair.fresh_state(), wan.fresh_state(), taehv.fresh_state()
    with torch.inference_mode():
        for frames in clip().split([5, 4, 4]):
            latents = pair.encode(frames, state)
            assert torch.equal(latents, wan.encode(frames, encoding))
            decoded = pair.decode(latents, state)
            assert torch.equal(decoded, taehv.decode(latents, decoding))
            assert decoded.shape == frames.shape


def test_one_codec_may_be_both_sides() -> None:
    """the same codec on both sides is that codec."""
    wan, _ = codecs()
    pair, state, alone = (
        HybridCodec(wan, wan),
        HybridCodec(wan, wan).fresh_state(),
        wan.fresh_state(),
    )
    with torch.inference_mode():
        for frames in clip().split([5, 4, 4]):
            latents = pair.encode(frames, state)
            assert torch.equal(latents, wan.encode(frames, alone))
            assert torch.equal(pair.decode(latents, state), wan.decode(latents, alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_taehv_latents_become_the_means_wan_gives(dtype: torch.dtype) -> None:
    """normalising what was denormalised gives it back; Wan's own flag is the same scale."""
    statistics = LatentStatistics.of(LATENT_MEAN, LATENT_STD, CPU)
    wan, taehv = codecs()
    raw_pair, pair = HybridCodec(taehv, wan, statistics=statistics), HybridCodec(taehv, wan)
    normalising = WanVae(SIZES.wan_vae, normalize_encoded=True)
    normalising.load_state_dict(wan.state_dict())
    frames = clip()[:5].to(dtype)
    with torch.inference_mode():
        for codec in (wan, taehv, normalising):
            codec.to(dtype)
        raw = raw_pair.encode(frames, raw_pair.fresh_state())
        normal = pair.encode(frames, pair.fresh_state())
        assert raw.dtype == normal.dtype == dtype
        wanted = normal.double() * torch.tensor(LATENT_STD)[:, None, None].double()
        wanted += torch.tensor(LATENT_MEAN)[:, None, None].double()
        torch.testing.assert_close(raw.double(), wanted, atol=1e-6, rtol=torch.finfo(dtype).eps)
        means = wan.encode(frames, wan.fresh_state())
        torch.testing.assert_close(
            statistics.denormalise(normalising.encode(frames, normalising.fresh_state())),
            means,
            atol=4 * torch.finfo(dtype).eps,
            rtol=4 * torch.finfo(dtype).eps,
        )


def test_codecs_of_different_latents_are_refused() -> None:
    """an encoder and a decoder that do not fit together are named by what they make and take."""
    _, taehv = codecs()
    four = WanVae(WanVaeConfig(channels=4, latent_channels=4))
    with pytest.raises(ValueError, match="the encoder makes 4 channels of 8 px blocks, the dec"):
        HybridCodec(four, taehv)


@pytest.mark.parametrize("sides", ["wan+wan", "wan+taehv", "taehv+taehv"])
def test_a_state_that_forgets_is_as_good_as_fresh(sides: str) -> None:
    """either way of either codec; what it carries keeps its place."""
    named: dict[str, Any] = dict(zip(("wan", "taehv"), codecs(), strict=True))
    encoder, decoder = (named[side] for side in sides.split("+"))
    pair: HybridCodec[Any, Any] = HybridCodec(encoder, decoder)

    def run(state: HybridState[Any, Any]) -> list[torch.Tensor]:
        with torch.inference_mode():
            pieces = clip().split([5, 4, 4])
            return [pair.decode(pair.encode(frames, state), state) for frames in pieces]

    state = pair.fresh_state()
    first = run(state)
    places = kept(state)
    with torch.inference_mode():
        pair.reset(state)
    assert len(places) > 0
    assert all(torch.equal(a, b) for a, b in zip(run(state), first, strict=True))
    assert kept(state) == places


def kept(state: HybridState[Any, Any]) -> list[int]:
    """Where all that a pair carries lies."""
    places: list[int] = []
    for side, way in ((state.encoder, "encoder"), (state.decoder, "decoder")):
        carried = getattr(side, way)
        if isinstance(carried, dict):
            places += [tensor.data_ptr() for tensor in carried.values()]
        else:
            places += carried.addresses
    return places
