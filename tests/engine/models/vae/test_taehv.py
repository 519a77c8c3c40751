"""The TAEHV-class codec: real keys, exact streaming, and its layers."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.models.vae.taehv import Taehv, TaehvState
from slipstream_engine.models.vae.taehv_config import TaehvParams, TaehvStage
from slipstream_engine.models.vae.taehv_layers import PixelUnshuffle, deflicker
from torch import Tensor, nn

KEYS = Path(__file__).parents[3] / "golden" / "keys" / "taehv_taew2_1.json"

SMALL = TaehvParams(
    encoder_width=8,
    encoder=(TaehvStage(width=8, time=2), TaehvStage(width=8, time=2), TaehvStage(width=8, time=1)),
    decoder=(
        TaehvStage(width=12, time=1),
        TaehvStage(width=8, time=2),
        TaehvStage(width=8, time=2),
    ),
    decoder_width=8,
)


def small_codec() -> Taehv:
    torch.manual_seed(0)
    return Taehv(SMALL).eval().requires_grad_(False)


def frames(count: int, *, height: int = 16, width: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 1


def pieces(codec: Taehv, rgb_TCHW: Tensor, chunks: list[int]) -> tuple[Tensor, Tensor]:
    state = codec.fresh_state()
    latents = [codec.encode(part, state) for part in torch.split(rgb_TCHW, chunks)]
    decoded = [codec.decode(part, state) for part in latents]
    return torch.cat(latents), torch.cat(decoded)


def test_keys_are_those_of_the_real_checkpoint() -> None:
    """the default config has exactly the names and shapes of taew2_1."""
    expected = {name: tuple(shape) for name, shape in json.loads(KEYS.read_text())["keys"].items()}
    with torch.device("meta"):
        state = Taehv(TaehvParams()).state_dict()
    assert {name: tuple(weight.shape) for name, weight in state.items()} == expected


@settings(max_examples=8, deadline=None)
@given(later=st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_in_pieces_is_all_at_once(later: list[int]) -> None:
    """a clip in chunks gives what it gives in one, for encode and decode."""
    codec = small_codec()
    chunks = [5, *(4 * count for count in later)]
    rgb_TCHW = frames(sum(chunks))
    latents, decoded = pieces(codec, rgb_TCHW, chunks)
    latents_whole, decoded_at_once = pieces(codec, rgb_TCHW, [sum(chunks)])
    torch.testing.assert_close(latents, latents_whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoded, decoded_at_once, atol=1e-5, rtol=1e-5)


def test_chunks_are_aligned_like_wan() -> None:
    """5 frames are 2 latents are 5 frames, then 4 are 1 are 4."""
    codec = small_codec()
    state = codec.fresh_state()
    first = codec.encode(frames(5), state)
    then = codec.encode(frames(4), state)
    assert (len(first), len(then)) == (2, 1)
    assert (len(codec.decode(first, state)), len(codec.decode(then, state))) == (5, 4)
    assert first.shape[1:] == (codec.latent_channels, 16 // codec.stride, 24 // codec.stride)


def test_streams_share_nothing() -> None:
    """what one stream carries does not reach another."""
    codec = small_codec()
    alone = pieces(codec, frames(13), [5, 4, 4])[1]
    mine, other = codec.fresh_state(), codec.fresh_state()
    decoded = []
    parts = torch.split(frames(13), [5, 4, 4])
    noises = torch.split(frames(26), [5, 4, 17])
    for part, noise in zip(parts, noises, strict=True):
        codec.decode(codec.encode(noise[: len(part)], other), other)
        decoded.append(codec.decode(codec.encode(part, mine), mine))
    assert torch.equal(torch.cat(decoded), alone)


def test_memory_is_used() -> None:
    """the decoder's blocks do see the chunk before: without it the next chunk is another one."""
    codec = small_codec()
    latents = torch.randn(3, 16, 2, 3, generator=torch.Generator().manual_seed(1))
    state = codec.fresh_state()
    codec.decode(latents[:2], state)
    forgetful = TaehvState(has_decoded=True)
    assert not torch.allclose(
        codec.decode(latents[2:], state), codec.decode(latents[2:], forgetful)
    )


@pytest.mark.parametrize("shape", [(4, 16, 24), (5, 12, 24), (1, 16, 24)])
def test_odd_chunks_are_refused(shape: tuple[int, int, int]) -> None:
    """a first chunk that is not 1 + 4k frames of whole latent pixels is refused in words."""
    codec = small_codec()
    count, height, width = shape
    with pytest.raises(ValueError, match=r"it must be 1 \+ 4k frames with sides .* multiples of 8"):
        codec.encode(frames(count, height=height, width=width), codec.fresh_state())


def test_config_must_fit_itself() -> None:
    """stages that do not make 4 frames, or do not undo each other, are refused."""
    with pytest.raises(ValueError, match="encoder stages make 2 frames of a latent, it must be 4"):
        TaehvParams(encoder=(TaehvStage(width=8, time=2),))
    with pytest.raises(ValueError, match="shrink by 2, decoder stages grow by 8"):
        TaehvParams(encoder=(TaehvStage(width=8, time=4),))


LEVEL = 5 / 255


def test_a_faint_pulse_is_evened_out() -> None:
    """frames of a latent that hardly differ become equal nearly, and keep their mean."""
    still = frames(1).expand(4, -1, -1, -1) / 2 + 0.5
    pulse = LEVEL / 5 * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None, None]
    calm = deflicker((still + pulse)[None], LEVEL, 8)[0]
    assert (calm - still).abs().max() < LEVEL / 500
    assert torch.allclose(calm.mean(dim=0), still[0], atol=1e-6)


def test_what_moves_is_left_alone() -> None:
    """frames that differ by much are as they were, also beside a block that stands still."""
    x_TCHW = frames(4, width=32) / 2 + 0.5
    x_TCHW[..., 16:] = x_TCHW[:1, ..., 16:]
    calm = deflicker(x_TCHW[None], LEVEL, 8)[0]
    torch.testing.assert_close(calm[..., :12], x_TCHW[..., :12], atol=0.01, rtol=0)
    assert torch.equal(calm[1, ..., 24:], calm[2, ..., 24:])


def test_patches_are_folded_as_torch_does() -> None:
    """the codec's own folding is torch's to the bit."""
    x_BTCHW = frames(4)[None]
    assert torch.equal(PixelUnshuffle(4)(x_BTCHW), nn.PixelUnshuffle(4)(x_BTCHW))
