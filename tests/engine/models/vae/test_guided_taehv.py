"""The codec whose decoder sees the camera: exact streaming, and what the decoder heeds."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.config import EngineConfig
from slipstream_engine.models.vae.camera_decoder import MixedLinear
from slipstream_engine.models.vae.camera_measures import MEASURES, measures_of
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.taehv_config import TINY
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.embedded import load_embedded_bundle
from torch import Tensor

PROMPT, OTHER = torch.randn(2, 4, 64, generator=torch.Generator().manual_seed(1))


def camera_of(seed: int, *, frames: int = 4, side: int = 32) -> Tensor:
    """Soft shapes with edges that move, `[T, 3, side, side]` in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, side // 8, side // 8, generator=generator)
    picture = F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)[0]
    sharp = ((picture * 3).round() / 3).expand(3, -1, -1)
    return torch.stack([sharp.roll((t, 2 * t), (1, 2)) for t in range(frames)]) * 2 - 1


def fresh_codec() -> GuidedTaehv:
    """A codec as it is before training, but for a linear path that says something."""
    torch.manual_seed(0)
    codec = GuidedTaehv(TINY).eval().requires_grad_(False)
    codec.decoder.start(torch.stack([PROMPT, OTHER]).flatten(1))
    return codec


@cache
def trained() -> GuidedTaehv:
    """One whose every part has its say, as after training."""
    codec = fresh_codec()
    generator = torch.Generator().manual_seed(2)
    for name, parameter in codec.decoder.named_parameters():
        if name != "mix.weight":
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return codec


def decoded(codec: GuidedTaehv, camera_TCHW: Tensor, prompt_LE: Tensor = PROMPT) -> Tensor:
    """A stream's first frames, there and back."""
    latents = codec.encode(camera_TCHW, codec.fresh_state())
    return codec.decode_guided(latents, camera_TCHW, prompt_LE, codec.fresh_state())


@settings(max_examples=6, deadline=None)
@given(later=st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_in_pieces_is_all_at_once(later: list[int]) -> None:
    """a clip in chunks gives what it gives in one, for encode and decode."""
    codec = trained()
    chunks = [5, *(4 * count for count in later)]
    camera = camera_of(4, frames=sum(chunks))
    latents = codec.encode(camera, codec.fresh_state())
    whole = codec.decode_guided(latents, camera, PROMPT, codec.fresh_state())
    state = codec.fresh_state()
    pieces = [codec.encode(part, state) for part in camera.split(chunks)]
    torch.testing.assert_close(torch.cat(pieces), latents, atol=1e-5, rtol=1e-5)
    parts = [
        codec.decode_guided(latent, part, PROMPT, state)
        for latent, part in zip(pieces, camera.split(chunks), strict=True)
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)


def test_chunks_are_aligned_like_wan() -> None:
    """5 frames are 2 latents are 5 frames, then 4 are 1 are 4; with the camera and without."""
    codec, plain, state = trained(), fresh_codec().fresh_state(), fresh_codec().fresh_state()
    for frames, latents in ((5, 2), (4, 1)):
        camera = camera_of(frames, frames=frames)
        encoded = codec.encode(camera, state)
        assert encoded.shape == (latents, 96, 4, 4)
        assert codec.decode_guided(encoded, camera, PROMPT, state).shape == camera.shape
        assert codec.decode(encoded, plain).shape == camera.shape


def test_before_training_it_is_the_colours_of_the_latents() -> None:
    """the start is what the latents say of every block, smooth between their middles."""
    colours = torch.rand(1, 8, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    camera = (camera_of(5, frames=8)[None] + 1) / 2
    drawn = fresh_codec().decoder(colours, camera, PROMPT.flatten()[None])
    smooth = F.interpolate(colours[0], scale_factor=8, mode="bilinear")
    torch.testing.assert_close(drawn[0], smooth, atol=1e-5, rtol=1e-5)


def test_colours_are_means_of_blocks() -> None:
    """the linear path's colours are those of its pictures."""
    codec = fresh_codec()
    z = torch.randn(2, 3, 96, 4, 5, generator=torch.Generator().manual_seed(9))
    means = F.avg_pool2d(codec.linear.decode(z).flatten(0, 1), 8)
    torch.testing.assert_close(codec.linear.colours(z).flatten(0, 1), means, atol=1e-5, rtol=1e-4)


def test_samples_of_a_batch_are_drawn_alone() -> None:
    """each clip of a batch by its own camera and its own prompt."""
    codec = trained()
    z = torch.randn(2, 1, 96, 4, 4, generator=torch.Generator().manual_seed(6))
    camera = (torch.stack([camera_of(6), camera_of(7)]) + 1) / 2
    prompts = torch.stack([PROMPT, OTHER])
    both = codec.decode_clip(z, camera, prompts)
    for b in range(2):
        alone = codec.decode_clip(z[b : b + 1], camera[b : b + 1], prompts[b : b + 1])
        torch.testing.assert_close(both[b], alone[0], atol=1e-5, rtol=1e-5)


def test_the_camera_is_seen_and_the_prompt_heard() -> None:
    """the same latents with another camera's frames, or another prompt, are another picture."""
    codec, camera = trained(), camera_of(5, frames=5)
    latents = codec.encode(camera, codec.fresh_state())
    one, mirrored, reworded = (
        codec.decode_guided(latents, seen, prompt, codec.fresh_state())
        for seen, prompt in ((camera, PROMPT), (camera.flip(3), PROMPT), (camera, OTHER))
    )
    assert not torch.allclose(one, mirrored, atol=1e-3)
    assert not torch.allclose(one, reworded, atol=1e-3)


@given(share=st.floats(0, 1))
def test_mixtures_of_prompts_are_mixtures_of_weights(share: float) -> None:
    """a prompt between two others has weights between theirs."""
    torch.manual_seed(3)
    layer = MixedLinear(3, 2, kernels=4, places=5).requires_grad_(False)
    for parameter in layer.parameters():
        parameter.normal_()
    mixes = torch.randn(2, 4)
    for one, other, mixed in zip(
        *(layer.mixed(mix) for mix in mixes),
        layer.mixed(share * mixes[0] + (1 - share) * mixes[1]),
        strict=True,
    ):
        torch.testing.assert_close(mixed, share * one + (1 - share) * other, atol=1e-5, rtol=1e-5)


def test_every_prompt_has_weights_of_its_own() -> None:
    """the start tells the prompts that it is given apart: each weighs one set of weights."""
    mix = fresh_codec().decoder.mix
    shares = mix(torch.stack([PROMPT, OTHER]).flatten(1) / TINY.decoder.prompt)
    torch.testing.assert_close(shares, torch.eye(2, TINY.decoder.kernels), atol=1e-5, rtol=0)


def test_measures_move_with_the_camera() -> None:
    """a camera that moves by a block moves all measures by a block, but for the borders."""
    clip = (camera_of(8, frames=1, side=128) + 1) / 2
    one, other = (torch.cat(measures_of(seen, 8), dim=1) for seen in (clip, clip.roll(8, 3)))
    assert one.shape == (1, MEASURES, 128, 128)
    inside = slice(40, 88)
    torch.testing.assert_close(
        one.roll(8, 3)[..., inside, inside], other[..., inside, inside], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_covered_camera_is_no_matter(value: float) -> None:
    """a black or white picture, and no words at all, are drawn in finite numbers."""
    covered = torch.full((5, 3, 32, 32), value)
    assert decoded(trained(), covered, torch.zeros_like(PROMPT)).isfinite().all()


@settings(max_examples=10, deadline=None)
@given(blocks=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_any_size_is_drawn(blocks: tuple[int, int]) -> None:
    """pictures of any number of blocks, upright or not, keep their shape."""
    height, width = (8 * count for count in blocks)
    camera = torch.zeros(5, 3, height, width)
    assert decoded(trained(), camera).shape == camera.shape


@pytest.mark.parametrize("shape", [(4, 16, 24), (5, 12, 24), (1, 16, 24)])
def test_odd_chunks_are_refused(shape: tuple[int, int, int]) -> None:
    """a first chunk that is not 1 + 4k frames of whole latent pixels is refused in words."""
    count, height, width = shape
    codec = trained()
    with pytest.raises(ValueError, match=r"it must be 1 \+ 4k frames with sides .* multiples of 8"):
        codec.encode(torch.zeros(count, 3, height, width), codec.fresh_state())


def test_noise_of_a_sensor_is_averaged_first() -> None:
    """of a still picture, noise of three levels leaves a latent frame's pictures all but equal."""
    bundle = load_embedded_bundle(EngineConfig(preset=PRESETS["tiny"]))
    codec, prompt = bundle.codec, bundle.text.encode("comic")
    assert isinstance(codec, GuidedTaehv)
    still = camera_of(6, frames=1).expand(5, -1, -1, -1)
    seen = still + 0.024 * torch.randn(still.shape, generator=torch.Generator().manual_seed(1))
    latents = codec.encode(still, codec.fresh_state())
    drawn = codec.decode_guided(latents, seen, prompt, codec.fresh_state())
    flicker, in_camera = (float(x[1:].diff(dim=0).square().mean()) for x in (drawn, seen))
    assert flicker < 0.01 * in_camera
