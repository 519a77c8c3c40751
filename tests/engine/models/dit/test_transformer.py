"""models/: the transformer's keys, its two memories, and its cuts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from slipstream_engine.config import CacheParams, DitParams, Pinning, Positions
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.attention import attend
from slipstream_engine.models.dit.transformer import CausalDit, initialise
from slipstream_engine.presets import PRESETS
from torch import Tensor

from tests.engine.toys import CPU, DIT, toy_model

SIZE = 8
BLOCKS = (2, 1, 1, 1)
KEYS = Path(__file__).parents[3] / "golden" / "keys"


def prompt(rows: int = 4, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, rows, DIT.text_dim, generator=generator)


def clip(frames: int = sum(BLOCKS)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, frames, DIT.latent_channels, SIZE, SIZE, generator=generator)


@pytest.mark.parametrize(
    ("preset", "parameters"), [("wan-1.3b", 1_418_996_800), ("wan-14b", 14_288_491_584)]
)
def test_keys_are_the_checkpoints(preset: str, parameters: int) -> None:
    """Every key and shape of the real checkpoint, and no other."""
    listed = json.loads((KEYS / f"wan_t2v_{preset.removeprefix('wan-')}_dit.json").read_text())
    with torch.device("meta"):
        model = CausalDit(PRESETS[preset].dit)
    assert {name: list(t.shape) for name, t in model.state_dict().items()} == listed["keys"]
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("positions", list(Positions))
def test_in_pieces_is_all_at_once(positions: Positions) -> None:
    """A clip under the block mask is its blocks one by one through a cache that is large enough."""
    model = toy_model()
    x, conditioning = clip(), model.condition(prompt())
    timesteps = torch.tensor([[700, 700, 650, 600, 500]])
    context = model.clip_context(BLOCKS, height=SIZE, width=SIZE)
    at_once = model(x, timesteps, conditioning, context)

    params = CacheParams(slots=6, sinks=1, pinning=Pinning.SINKS, positions=positions)
    rows, columns = model.grid(SIZE, SIZE)
    cache = RollingCache(
        DIT, params, rows=1, frame_tokens=rows * columns, device=CPU, dtype=torch.float32
    )
    pieces, past = [], 0
    for frames in BLOCKS:
        batch_positions = to_device([position_of(params, past_frames=past, frames=frames)], CPU)
        context_of_piece = model.kv_cache_context(cache, batch_positions, height=SIZE, width=SIZE)
        here = slice(past, past + frames)
        pieces.append(model(x[:, here], timesteps[:, here], conditioning, context_of_piece))
        past += frames
    torch.testing.assert_close(torch.cat(pieces, dim=1), at_once, atol=2e-5, rtol=1e-4)


def test_training_reaches_every_weight() -> None:
    """A loss on a clip gives every parameter a gradient."""
    model = CausalDit(replace(DIT, pooled_text=True))
    initialise(model)
    torch.nn.init.normal_(model.head.head.weight, std=0.1)
    context = model.clip_context(BLOCKS, height=SIZE, width=SIZE)
    timesteps = torch.full((1, sum(BLOCKS)), 450)
    model(clip(), timesteps, model.condition(prompt()), context).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


def test_a_new_model_says_nothing() -> None:
    """Initialised as Wan's, the flow is zero."""
    model = CausalDit(DIT)
    initialise(model)
    context = model.clip_context(BLOCKS, height=SIZE, width=SIZE)
    timesteps = torch.full((1, sum(BLOCKS)), 450)
    assert model(clip(), timesteps, model.condition(prompt()), context).abs().max() == 0


def test_a_patch_of_one() -> None:
    """Tokens of single latent pixels work with the same class."""
    model = toy_model(replace(DIT, patch=(1, 1, 1)))
    context = model.clip_context(BLOCKS, height=SIZE, width=SIZE)
    timesteps = torch.full((1, sum(BLOCKS)), 450)
    flow = model(clip(), timesteps, model.condition(prompt()), context)
    assert flow.shape == clip().shape


def test_pooled_text_ignores_padding() -> None:
    """The pooled prompt is the mean of the rows that hold text, however many follow."""
    model = toy_model(replace(DIT, pooled_text=True))
    short = model.condition(prompt(2)).pooled_BC
    padded = model.condition(
        torch.cat([prompt(2), torch.zeros(1, 4, DIT.text_dim)], dim=1)
    ).pooled_BC
    assert short is not None and padded is not None
    assert torch.equal(short, padded)
    empty = model.condition(torch.zeros(1, 6, DIT.text_dim)).pooled_BC
    assert empty is not None
    assert torch.isfinite(empty).all()


def test_one_prompt_serves_a_batch() -> None:
    """Conditioning of batch 1 gives each sample what its own copy would."""
    model = toy_model()
    context = model.clip_context((1,), height=SIZE, width=SIZE)
    x = torch.cat([clip(1), -clip(1)])
    timesteps = torch.tensor([[700], [300]])
    shared = model(x, timesteps, model.condition(prompt()), context)
    own = model(x, timesteps, model.condition(prompt().expand(2, -1, -1)), context)
    torch.testing.assert_close(shared, own, atol=1e-6, rtol=1e-5)


def test_shared_keys_cannot_be_masked() -> None:
    """A mask by sample has no meaning for keys that all samples share."""
    q, k = torch.zeros(2, 3, 1, 4), torch.zeros(1, 5, 1, 4)
    with pytest.raises(AssertionError, match="shared keys cannot be masked"):
        attend(q, k, k, torch.ones(2, 1, 1, 5, dtype=torch.bool))


def test_impossible_shapes_are_refused() -> None:
    """Heads that do not divide the width, deep patches and odd latents are errors."""
    with pytest.raises(ValueError, match="dim 10 over 3 heads"):
        DitParams(dim=10, heads=3, layers=1, ffn_dim=4)
    with pytest.raises(ValueError, match="its first number must be 1"):
        DitParams(dim=8, heads=1, layers=1, ffn_dim=4, patch=(2, 2, 2))
    with pytest.raises(ValueError, match="latents are 7x8, they must be multiples"):
        toy_model().grid(7, 8)
