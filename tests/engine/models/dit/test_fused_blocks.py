"""models/dit/fused_blocks.py: the blocks' numbers, in few launches."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from slipstream_engine.config import CacheParams, DitParams
from slipstream_engine.kv_cache.positions import CachePosition, position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.transformer import CausalDit, initialise
from slipstream_engine.presets import PRESETS
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")
DIT = DitParams(
    dim=48,
    heads=2,
    layers=3,
    ffn_dim=64,
    latent_channels=4,
    text_dim=8,
    text_len=5,
    freq_dim=16,
)
PLAIN = CacheParams(slots=6, sinks=3)
ADAPTIVE = replace(PLAIN, sink_threshold=0.3)
HEIGHT, WIDTH = 4, 6
TOKENS = HEIGHT * WIDTH // 4
MOST_LAUNCHES = 600  # of a step of the 1.3B model, eager


def small_model() -> CausalDit:
    torch.manual_seed(0)
    model = CausalDit(DIT)
    initialise(model)
    torch.nn.init.normal_(model.head.head.weight)
    return model.requires_grad_(False)


def new_cache(params: CacheParams, *, rows: int) -> RollingCache:
    return RollingCache(
        DIT, params, rows=rows, frame_tokens=TOKENS, device=CPU, dtype=torch.float32
    )


@pytest.mark.parametrize("params", [PLAIN, ADAPTIVE], ids=["plain", "adaptive"])
@pytest.mark.parametrize("rows", [None, (2, 0)], ids=["in order", "scattered"])
@torch.inference_mode()
def test_same_numbers_and_same_cache(params: CacheParams, rows: tuple[int, ...] | None) -> None:
    """Chunk by chunk, while the rows fill and after: flow, cache and eviction are the blocks'."""
    model = small_model()
    pool = 3 if rows else 2
    caches = {is_fused: new_cache(params, rows=pool) for is_fused in (False, True)}
    conditioning = model.condition(torch.randn(1, 5, DIT.text_dim))
    rows_B = None if rows is None else torch.tensor(rows)
    past = 0
    for frames in (2, *[1] * 12):
        x, timesteps = torch.randn(2, frames, 4, HEIGHT, WIDTH), torch.full((2, frames), 500)
        positions = to_device([position_of(params, past_frames=past, frames=frames)] * 2, CPU)
        flows = {}
        for model.is_fused, cache in caches.items():
            context = model.kv_cache_context(
                cache, positions, height=HEIGHT, width=WIDTH, rows_B=rows_B
            )
            flows[model.is_fused] = model(x, timesteps, conditioning, context)
        torch.testing.assert_close(flows[True], flows[False])
        past += frames
    for ours, theirs in zip(caches[True].state(), caches[False].state(), strict=True):
        torch.testing.assert_close(ours, theirs)
    if params.adapts:
        assert caches[True].eviction.pending_count_NR.sum() > 0, "no sink was ever stale"


@torch.inference_mode()
def test_in_two_ranges() -> None:
    """Blocks 0 and 1 and then 2 are all three, as a model cut between devices runs them."""
    model = small_model()
    model.is_fused = True
    conditioning = model.condition(torch.randn(1, 5, DIT.text_dim))
    positions = to_device([position_of(ADAPTIVE, past_frames=3, frames=1)], CPU)
    tokens = model.embed(torch.randn(1, 1, 4, HEIGHT, WIDTH))
    time = model.embed_time(torch.full((1, 1), 500), conditioning)
    results = []
    for cuts in ((0, 3), (0, 2, 3)):
        context = model.kv_cache_context(
            new_cache(ADAPTIVE, rows=1), positions, height=HEIGHT, width=WIDTH
        )
        out = tokens
        for first, end in pairwise(cuts):
            out = model.run(out, time, conditioning, context, range(first, end))
        results.append(out)
    assert torch.equal(*results)


NO_LAUNCH = {"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "detach"}


class Launches(TorchDispatchMode):
    """Counts the operations that are no views."""

    by_name: Counter[str]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = func.name().partition("::")
        name = name.partition(".")[0]
        is_view = any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)
        if space != "prim" and not is_view and name not in NO_LAUNCH:
            self.by_name[name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Counter[str]]:
    launches = Launches()  # type: ignore[no-untyped-call]  # as torch has it
    launches.by_name = Counter()
    with launches:
        yield launches.by_name


@contextmanager
def bfloat16_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def steady_step(is_fused: bool) -> Counter[str]:
    """The launches of one step of wan-1.3b, one stream, its cache full."""
    preset = PRESETS["wan-1.3b"]
    rows, columns = preset.height_px // 16, preset.width_px // 16
    at = CachePosition(start=9, frames=1, slot=-1, length=preset.cache.slots)
    with FakeTensorMode(), torch.inference_mode():
        with bfloat16_by_default():
            model = CausalDit(preset.dit)
        model.is_fused = is_fused
        cache = RollingCache(
            preset.dit,
            preset.cache,
            rows=1,
            frame_tokens=rows * columns,
            device=CPU,
            dtype=torch.bfloat16,
        )
        conditioning = model.condition(torch.empty(1, 512, 4096, dtype=torch.bfloat16))
        x = torch.empty(1, 1, 16, 2 * rows, 2 * columns, dtype=torch.bfloat16)
        positions = to_device([at], CPU)
        timesteps: Tensor = torch.empty(1, 1, dtype=torch.int64)
        with counted() as launches:
            context = model.kv_cache_context(cache, positions, height=2 * rows, width=2 * columns)
            model(x, timesteps, conditioning, context)
    return launches


def test_a_step_takes_few_launches() -> None:
    """Fused, a step of the 1.3B model is at most 600 launches; in plain torch it is thousands."""
    fused = steady_step(is_fused=True)
    assert fused.total() <= MOST_LAUNCHES, fused.most_common(20)
    assert steady_step(is_fused=False).total() > 3 * MOST_LAUNCHES
