"""The pipelines of `spec/golden.json`: a model filled by formula, twelve calls, every output.

`spec_pipelines.json` holds, for each pipeline and output, the first six and last three numbers, the
sum and the sum of absolute values; and after each call the slots (counted from 1) that each row
overwrites next, the same in both layers.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from slipstream_engine.kv_cache.positions import CachePosition
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.transformer import CausalDit
from torch import Tensor

from tests.golden.streaming import NEVER, StreamBatch, dit_params

PIPELINES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "spec_pipelines.json").read_text()
)
DIT = {
    **{"dim": 256, "ffn_dim": 256, "num_heads": 2, "num_layers": 2, "in_dim": 16},
    **{"patch_size": [1, 2, 2], "text_dim": 32, "text_len": 512, "freq_dim": 256},
}
SAMPLE_TOLERANCE, SUM_TOLERANCE = 1e-4, 1e-5


def signal(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    count = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return torch.sin(a * count + b).float().reshape(shape)


def filled_model() -> CausalDit:
    """Every tensor is a sine of its number among the sorted names."""
    model = CausalDit(dit_params(DIT)).requires_grad_(False)
    tensors = model.state_dict()
    for number, name in enumerate(sorted(tensors), start=1):
        tensor = tensors[name]
        count = torch.arange(1, tensor.numel() + 1, dtype=torch.float64)
        wave = torch.sin(0.37 * count + 1.3 * number).reshape(tensor.shape)
        if name.endswith("modulation"):
            wave = 0.1 * wave
        elif name.endswith("bias"):
            wave = 0.05 * wave
        elif tensor.ndim == 1:
            wave = 1 + 0.1 * wave
        else:
            wave = wave / math.sqrt(tensor.numel() / tensor.shape[0])
        tensor.copy_(wave)
    return model


def pipeline(settings: dict[str, Any]) -> StreamBatch:
    config = {
        "height": 32,
        "width": 48,
        "denoising_step_list": settings["steps"],
        "num_kv_cache": settings.get("slots", 6),
        "num_sink_tokens": settings.get("sinks", 3),
        "adapt_sink_threshold": settings.get("sink_threshold", -1),
        "t_refresh": settings.get("refresh_frames", NEVER),
    }
    return StreamBatch(filled_model(), config, signal((1, 512, 32), 0.007, 0.5))


def assert_is(output: Tensor, expected: list[float]) -> None:
    flat = output.flatten().double()
    samples = torch.cat([flat[:6], flat[-3:]])
    wanted = torch.tensor(expected[:9], dtype=torch.float64)
    assert ((samples - wanted).abs() / wanted.abs().clamp(min=1)).max() <= SAMPLE_TOLERANCE
    *_, total, absolute = expected
    assert abs(flat.sum().item() - total) <= SUM_TOLERANCE * absolute
    assert abs(flat.abs().sum().item() - absolute) <= SUM_TOLERANCE * absolute


def to_evict(cache: RollingCache, position: CachePosition, layer: int, row: int) -> str:
    """Slots a full row overwrites next: pending sinks, the last come first, then the ring."""
    eviction, params = cache.eviction, cache.params
    pending = []
    # without a threshold the host knows the slot just written, and the ring is one further
    head = position.slot - params.pinned_slots + 1
    if params.adapts:
        count = int(eviction.pending_count_NR[layer, row])
        pending = eviction.pending_NRP[layer, row, :count].flip(0).tolist()
        head = int(eviction.head_NR[layer, row])
    turns = [
        params.pinned_slots + (head + turn) % params.ring_slots for turn in range(params.ring_slots)
    ]
    return "".join(str(slot + 1) for slot in [*pending, *turns])


@pytest.mark.parametrize("name", PIPELINES)
@torch.inference_mode()
def test_outputs_and_evictions_are_the_reference(name: str) -> None:
    """Every sample after every call, and once a row is full what it is to overwrite."""
    expected = PIPELINES[name]
    stream = pipeline(expected["settings"])
    still = [torch.zeros(1)] * (len(stream.steps) - 1)
    first, *outputs = expected["outputs"]
    assert_is(stream.prepare(signal((1, 2, 16, 4, 6), 0.011, 0.0), still), first)
    for call, output in enumerate(outputs, start=1):
        latents = signal((1, 1, 16, 4, 6), 0.011 + 0.001 * call, 0.1 * call)
        assert_is(stream.call(latents, 600 + 5 * call, still)[-1], output)
        for row, position in enumerate(stream.positions):
            if position.length < stream.params.slots:
                continue
            for layer in range(stream.model.params.layers):
                wanted = expected["evicts"][call - 1][row]
                assert to_evict(stream.cache, position, layer, row) == wanted, (call, layer, row)
