"""The streaming Wan VAE: in pieces it is what it is at once, and its sizes are the real ones."""

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.models.vae.wan_vae import WanVae, WanVaeConfig, WanVaeState
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.engine.keylists import own_shapes, real_shapes

SMALL = WanVaeConfig(channels=4, latent_channels=4)
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def vae() -> WanVae:
    torch.manual_seed(3)
    return WanVae(SMALL).eval().requires_grad_(False)


def picture(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def in_pieces(
    direction: Callable[[Tensor, WanVaeState], Tensor],
    whole: Tensor,
    pieces: list[int],
    state: WanVaeState,
) -> Tensor:
    return torch.cat([direction(piece, state) for piece in torch.split(whole, pieces)])


def split_points(latents: int) -> st.SearchStrategy[list[int]]:
    """Ways to cut `latents` latent frames into pieces, the first of any length."""

    def lengths(cuts: set[int]) -> list[int]:
        edges = [0, *sorted(cuts), latents]
        return [after - before for before, after in pairwise(edges)]

    return st.sets(st.integers(1, latents - 1)).map(lengths)


@settings(max_examples=15, deadline=None)
@given(pieces=split_points(5))
def test_encoding_in_pieces_is_encoding_at_once(vae: WanVae, pieces: list[int]) -> None:
    """however a clip is cut, its latents are the same."""
    rgb_TCHW = picture(17, 3, 16, 24, seed=1)
    frames = [4 * pieces[0] - 3, *(4 * piece for piece in pieces[1:])]
    whole = vae.encode(rgb_TCHW, vae.fresh_state())
    assert whole.shape == (5, 4, 2, 3)
    torch.testing.assert_close(
        in_pieces(vae.encode, rgb_TCHW, frames, vae.fresh_state()),
        whole,
        atol=TOLERANCE,
        rtol=0,
    )


@settings(max_examples=15, deadline=None)
@given(pieces=split_points(5))
def test_decoding_in_pieces_is_decoding_at_once(vae: WanVae, pieces: list[int]) -> None:
    """however latents are cut, their frames are the same."""
    latents_FCHW = picture(5, 4, 2, 3, seed=2)
    whole = vae.decode(latents_FCHW, vae.fresh_state())
    assert whole.shape == (17, 3, 16, 24)
    torch.testing.assert_close(
        in_pieces(vae.decode, latents_FCHW, pieces, vae.fresh_state()),
        whole,
        atol=TOLERANCE,
        rtol=0,
    )


def test_two_streams_do_not_meet(vae: WanVae) -> None:
    """streams that take turns give, bit for bit, what each gives alone."""
    clips = [picture(9, 3, 16, 16, seed=seed) for seed in (5, 6)]
    alone = []
    for clip in clips:
        state = vae.fresh_state()
        alone.append([vae.encode(piece, state) for piece in torch.split(clip, [5, 4])])
    states = [vae.fresh_state(), vae.fresh_state()]
    for turn, sizes in enumerate((slice(0, 5), slice(5, 9))):
        for stream in (0, 1):
            latents = vae.encode(clips[stream][sizes], states[stream])
            assert torch.equal(latents, alone[stream][turn])


def test_the_past_matters(vae: WanVae) -> None:
    """the same piece after two different pasts is two different pictures."""
    latents = picture(3, 4, 2, 2, seed=7)
    one, other = vae.fresh_state(), vae.fresh_state()
    vae.decode(latents[:2], one)
    vae.decode(-latents[:2], other)
    assert not torch.allclose(vae.decode(latents[2:], one), vae.decode(latents[2:], other))


def test_state_keeps_its_memory(vae: WanVae) -> None:
    """after the first piece a stream's state neither grows nor moves."""
    state = vae.fresh_state()
    vae.encode(picture(5, 3, 16, 16, seed=8), state)
    before = state.encoder.addresses, state.encoder.bytes
    for seed in range(3):
        vae.encode(picture(4, 3, 16, 16, seed=seed), state)
    assert (state.encoder.addresses, state.encoder.bytes) == before


def test_normalized_latents_come_back(vae: WanVae) -> None:
    """normalising is undone by what decode does to its input."""
    rgb_TCHW = picture(5, 3, 16, 16, seed=9)
    normalizing = WanVae(SMALL, normalize_encoded=True)
    normalizing.load_state_dict(vae.state_dict())
    normal = normalizing.encode(rgb_TCHW, normalizing.fresh_state())
    raw = vae.encode(rgb_TCHW, vae.fresh_state())
    mean, std = (part[:, None, None] for part in (vae.latent_mean_C, vae.latent_std_C))
    torch.testing.assert_close(normal * std + mean, raw)


def test_channels_last_changes_the_layout_alone(vae: WanVae) -> None:
    """kernels laid out as the activations are give the same pictures."""
    latents = picture(2, 4, 2, 2, seed=10)
    other = WanVae(SMALL)
    other.load_state_dict(vae.state_dict())
    other.channels_last()
    torch.testing.assert_close(
        other.decode(latents, other.fresh_state()), vae.decode(latents, vae.fresh_state())
    )


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((4, 3, 16, 16), "a piece has 4 frames, it must have 1 + a multiple of 4"),
        ((5, 3, 16, 12), "frames are 12x16, both sides must be multiples of 8"),
    ],
)
def test_what_does_not_fit_is_refused(vae: WanVae, shape: tuple[int, ...], text: str) -> None:
    """frames that cannot make whole latents are named, not dropped."""
    with pytest.raises(ValueError, match=re.escape(text)):
        vae.encode(picture(*shape, seed=1), vae.fresh_state())


def test_surplus_frames_are_refused(vae: WanVae) -> None:
    """after the first piece only whole groups of four frames go in."""
    state = vae.fresh_state()
    vae.encode(picture(5, 3, 16, 16, seed=1), state)
    with pytest.raises(ValueError, match="a piece has 5 frames, it must have a multiple of 4"):
        vae.encode(picture(5, 3, 16, 16, seed=1), state)


def test_the_real_model_has_the_real_tensors() -> None:
    """names and shapes of the whole checkpoint, none more and none less."""
    with torch.device("meta"):
        vae = WanVae(WanVaeConfig())
    assert own_shapes(vae) == real_shapes("wan2.1_vae")


def test_the_real_model_costs_what_was_computed() -> None:
    """at 480x832 a steady chunk takes 8.05 and 13.55 TFLOP, a stream's past 3.0 GB in bfloat16."""
    with torch.device("meta"):
        vae = WanVae(WanVaeConfig()).to(device="meta", dtype=torch.bfloat16)
    state = vae.fresh_state()
    tera = []
    for direction, first, later in (
        (vae.encode, (5, 3, 480, 832), (4, 3, 480, 832)),
        (vae.decode, (2, 16, 60, 104), (1, 16, 60, 104)),
    ):
        direction(torch.empty(first, device="meta", dtype=torch.bfloat16), state)
        with FlopCounterMode(display=False) as counter:
            direction(torch.empty(later, device="meta", dtype=torch.bfloat16), state)
        tera.append(round(counter.get_total_flops() / 1e12, 2))
    assert tera == [8.05, 13.55]
    assert round((state.encoder.bytes + state.decoder.bytes) / 1e9, 1) == 3.0
