"""Counts the arithmetic of a steady-state chunk, on meta tensors.

Convolutions, matrix products and attention count; a multiplication with its addition is two. All
blocks of the transformer do the same work, so it is counted with one and with two of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from slipstream_engine.codec.protocol import Codec, GuidedCodec
from slipstream_engine.config import (
    CHUNK_FRAMES,
    CHUNK_LATENTS,
    FIRST_CHUNK_FRAMES,
    FIRST_CHUNK_LATENTS,
    EngineConfig,
    Preset,
)
from slipstream_engine.diffusion.denoise import denoise
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.kv_cache.positions import position_of, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.transformer import CausalDit
from slipstream_engine.weights.random import random_bundle
from slipstream_engine.weights.wan import ModelSizes

StateT = TypeVar("StateT")

META = torch.device("meta")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFlop:
    """Floating-point operations of each stage of a chunk, once the cache is full."""

    encode: int
    step: int
    decode: int

    def total(self, steps: int) -> int:
        return self.encode + steps * self.step + self.decode


@torch.no_grad()
def chunk_flop(config: EngineConfig, *, sizes: ModelSizes | None = None) -> ChunkFlop:
    """Count the operations of a chunk at the preset's size.

    Args:
        sizes: of the codecs; None for the published ones.
    """
    preset = config.preset
    bundle, deeper = (random_bundle(_with_layers(config, layers), sizes=sizes) for layers in (1, 2))
    dtype = bundle.model.dtype
    height_px, width_px = preset.height_px, preset.width_px

    def frames(count: int) -> torch.Tensor:
        return torch.empty(count, 3, height_px, width_px, device=META, dtype=dtype)

    def latents(count: int) -> torch.Tensor:
        codec = bundle.codec
        size = (codec.latent_channels, height_px // codec.stride, width_px // codec.stride)
        return torch.empty(count, *size, device=META, dtype=dtype)

    state = bundle.codec.fresh_state()
    bundle.codec.encode(frames(FIRST_CHUNK_FRAMES), state)
    prompt = torch.empty(preset.dit.text_len, preset.dit.text_dim, device=META, dtype=dtype)
    _decode(bundle.codec, latents(FIRST_CHUNK_LATENTS), frames(FIRST_CHUNK_FRAMES), prompt, state)
    one, two = (
        _count(_step(each.model, preset, latents(CHUNK_LATENTS))) for each in (bundle, deeper)
    )
    return ChunkFlop(
        encode=_count(lambda: bundle.codec.encode(frames(CHUNK_FRAMES), state)),
        step=one + (preset.dit.layers - 1) * (two - one),
        decode=_count(
            lambda: _decode(
                bundle.codec, latents(CHUNK_LATENTS), frames(CHUNK_FRAMES), prompt, state
            )
        ),
    )


def _decode(
    codec: Codec[StateT],
    latents: torch.Tensor,
    camera: torch.Tensor,
    prompt: torch.Tensor,
    state: StateT,
) -> None:
    if isinstance(codec, GuidedCodec):
        codec.decode_guided(latents, camera, prompt, state)
    else:
        codec.decode(latents, state)


def _with_layers(config: EngineConfig, layers: int) -> EngineConfig:
    """The same on the meta device, with a transformer of so many blocks."""
    dit = replace(config.preset.dit, layers=layers)
    return replace(config, device="meta", preset=replace(config.preset, dit=dit))


def _step(model: CausalDit, preset: Preset, x_Fchw: torch.Tensor) -> Callable[[], object]:
    """A function that runs one micro-step over a full cache."""
    rows, columns = model.grid(*x_Fchw.shape[-2:])
    cache = RollingCache(
        replace(preset.dit, layers=len(model.blocks)),
        preset.cache,
        rows=1,
        frame_tokens=rows * columns,
        device=META,
        dtype=model.dtype,
    )
    schedule = FlowSchedule(preset.schedule, META)
    prompt_BTE = torch.empty(
        1, preset.dit.text_len, preset.dit.text_dim, device=META, dtype=model.dtype
    )
    conditioning = model.condition(prompt_BTE)
    position = position_of(preset.cache, past_frames=2 * preset.cache.slots, frames=1)
    positions = to_device([position], META)
    timesteps_B = torch.empty(1, dtype=torch.int64, device=META)
    return lambda: denoise(
        model, schedule, x_Fchw[None], timesteps_B, positions, cache, conditioning
    )


def _count(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
