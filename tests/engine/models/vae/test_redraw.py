"""models/vae/redraw.py: a decoded picture with the camera's edges, and when it is left alone."""

from functools import cache

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.config import EngineConfig
from slipstream_engine.models.vae.guided_taehv import GuidedTaehv
from slipstream_engine.models.vae.redraw import redraw
from slipstream_engine.presets import PRESETS
from slipstream_engine.weights.embedded import load_embedded_bundle
from torch import Tensor

BLOCK_PX = 8


def camera_of(seed: int, *, frames: int = 4, side: int = 64) -> Tensor:
    """Soft shapes with edges that move, `[T, 3, side, side]` in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, side // 8, side // 8, generator=generator)
    picture = F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)[0]
    sharp = ((picture * 3).round() / 3).expand(3, -1, -1)
    return torch.stack([sharp.roll((t, 2 * t), (1, 2)) for t in range(frames)])


def style(camera_TCHW: Tensor) -> Tensor:
    """Colours that turn with the tone."""
    tone = camera_TCHW.mean(dim=1, keepdim=True)
    return torch.cat([tone, 1 - tone, 4 * (tone - 0.5) ** 2], dim=1)


def blocky(target_TCHW: Tensor, seed: int) -> Tensor:
    """What a small model makes of it: blurred, and every block errs by itself."""
    generator = torch.Generator().manual_seed(seed)
    frames, channels, height, width = target_TCHW.shape
    errors = torch.randn(
        frames, channels, height // BLOCK_PX, width // BLOCK_PX, generator=generator
    )
    errors = errors.repeat_interleave(BLOCK_PX, -1).repeat_interleave(BLOCK_PX, -2)
    return F.avg_pool2d(target_TCHW, 3, 1, 1, count_include_pad=False) + 0.08 * errors


def error(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_edges_are_the_cameras_again(seed: int) -> None:
    """a blurred picture whose blocks err by themselves comes nearer to the style."""
    camera = camera_of(seed)
    target = style(camera)
    decoded = blocky(target, seed)
    assert error(redraw(decoded, camera, BLOCK_PX), target) < 0.88 * error(decoded, target)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_steps_between_blocks_are_smoothed(seed: int) -> None:
    """what no edge of the camera explains is taken back, the steps between blocks among it."""
    camera = camera_of(seed)
    target = style(camera)
    steps = [
        (picture - target).diff(dim=-1)[..., BLOCK_PX - 1 :: BLOCK_PX].square().mean()
        for picture in (blocky(target, seed), redraw(blocky(target, seed), camera, BLOCK_PX))
    ]
    assert steps[1] < 0.7 * steps[0]


def test_a_grid_of_its_own_stays() -> None:
    """cells that a style draws, and no camera saw, are left to the bit."""
    cell = torch.rand(3, BLOCK_PX, BLOCK_PX, generator=torch.Generator().manual_seed(3))
    camera = camera_of(1)
    decoded = (style(camera) * 0.3 + 0.7 * cell.repeat(1, 8, 8)).clamp(0, 1)
    assert torch.equal(redraw(decoded, camera, BLOCK_PX), decoded)


def test_mean_colours_stay() -> None:
    """where the picture is even around a block, its mean stays what was decoded."""
    camera = camera_of(2)
    even = torch.full_like(camera, 0.4)
    torch.testing.assert_close(redraw(even, camera, BLOCK_PX), even, atol=1e-3, rtol=0)


@given(value=st.sampled_from([0.0, 1.0]))
def test_a_covered_camera_is_no_matter(value: float) -> None:
    """features that are all alike explain the mean alone: colours stay, nothing is infinite."""
    decoded = blocky(style(camera_of(3)), 3)
    redrawn = redraw(decoded, torch.full_like(decoded, value), BLOCK_PX)
    assert redrawn.isfinite().all()
    assert error(redrawn.mean(dim=(2, 3)), decoded.mean(dim=(2, 3))) < 1e-3


@cache
def guided() -> GuidedTaehv:
    """The trained codec: what one of random weights decodes is a grid, and is left alone."""
    codec = load_embedded_bundle(EngineConfig(preset=PRESETS["tiny"])).codec
    assert isinstance(codec, GuidedTaehv)
    return codec


@settings(max_examples=6, deadline=None)
@given(later=st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_in_pieces_is_all_at_once(later: list[int]) -> None:
    """a guided decoder gives in chunks what it gives in one, and the state is the codec's own."""
    codec = guided()
    chunks = [5, *(4 * count for count in later)]
    camera = camera_of(4, frames=sum(chunks), side=32) * 2 - 1
    latents = codec.encode(camera, codec.fresh_state())
    whole = codec.decode_guided(latents, camera, codec.fresh_state())
    state = codec.fresh_state()
    parts = [
        codec.decode_guided(latent, part, state)
        for latent, part in zip(latents.split([2, *later]), camera.split(chunks), strict=True)
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)
    unguided = codec.decode(latents, codec.fresh_state())
    assert not torch.allclose(whole, unguided, atol=1e-2)


def test_the_camera_is_seen() -> None:
    """the same latents with another camera's frames are another picture."""
    codec = guided()
    camera = camera_of(5, frames=5, side=32) * 2 - 1
    latents = codec.encode(camera, codec.fresh_state())
    one, other = (
        codec.decode_guided(latents, seen, codec.fresh_state()) for seen in (camera, camera.flip(3))
    )
    assert not torch.allclose(one, other, atol=1e-3)


def test_noise_of_a_sensor_is_averaged_first() -> None:
    """of a still picture, noise of three levels leaves a latent frame's pictures all but equal."""
    codec = guided()
    still = camera_of(6, frames=1).expand(5, -1, -1, -1)
    noise = 0.012 * torch.randn(still.shape, generator=torch.Generator().manual_seed(1))
    latents = codec.encode(still * 2 - 1, codec.fresh_state())
    seen = (still + noise) * 2 - 1
    generated = codec.decode_guided(latents, seen, codec.fresh_state())
    nothing = torch.zeros(())
    flicker, in_camera = (error(x[1:].diff(dim=0), nothing) for x in (generated, seen))
    assert flicker < 0.01 * in_camera
