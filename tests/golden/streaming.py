"""Shared by the streaming families: the model of a case, and the reference's stream batch."""

from collections.abc import Sequence
from typing import Any

import torch
from slipstream_engine.config import CacheParams, DitParams, ScheduleParams
from slipstream_engine.diffusion.denoise import denoise, renoise
from slipstream_engine.diffusion.flow_matching import FlowSchedule
from slipstream_engine.kv_cache.positions import (
    BatchPositions,
    CachePosition,
    position_of,
    to_device,
)
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning
from slipstream_engine.models.dit.transformer import CausalDit
from torch import Tensor

from tests.golden.case import Case

STRIDE = 8
CPU = torch.device("cpu")
NEVER = 10**6


def dit_params(config: dict[str, Any]) -> DitParams:
    return DitParams(
        dim=config["dim"],
        heads=config["num_heads"],
        layers=config["num_layers"],
        ffn_dim=config["ffn_dim"],
        latent_channels=config["in_dim"],
        patch=tuple(config["patch_size"]),
        text_dim=config["text_dim"],
        text_len=config["text_len"],
        freq_dim=config["freq_dim"],
    )


def cache_params(config: dict[str, Any]) -> CacheParams:
    threshold = config.get("adapt_sink_threshold", -1)
    return CacheParams(
        slots=config["num_kv_cache"],
        sinks=config["num_sink_tokens"],
        sink_threshold=threshold if threshold > -1 else None,
        refresh_frames=config.get("t_refresh", NEVER),
    )


def load_dit(case: Case, prefix: str = "", dtype: torch.dtype = torch.float32) -> CausalDit:
    with torch.device("meta"):
        model = CausalDit(dit_params(case.config["dit"]))
    model.load_state_dict(case.weights(prefix), assign=True)
    return model.to(dtype).requires_grad_(False)


class StreamBatch:
    """The reference's stream batch, of our modules: row i runs step i, one call for each chunk.

    Our engine starts no row before its first chunk has come; the reference runs them on zeros, and
    the vectors hold what those calls leave in the cache. So this harness runs them, too.
    """

    def __init__(
        self,
        model: CausalDit,
        config: dict[str, Any],
        prompt_BTE: Tensor,
    ) -> None:
        steps = tuple(step for step in config["denoising_step_list"] if step)
        self.params = cache_params(config)
        self.size = (config["height"] // STRIDE, config["width"] // STRIDE)
        self.model = model
        # only its sigma table is used: a case may list steps that no preset has
        self.schedule = FlowSchedule(ScheduleParams(step_list=(700,), steps=1), CPU)
        self.conditioning: Conditioning = model.condition(prompt_BTE)
        self.steps = torch.tensor(steps)
        rows, columns = model.grid(*self.size)
        self.frame_tokens = rows * columns
        self.cache = RollingCache(
            model.params,
            self.params,
            rows=len(steps),
            frame_tokens=self.frame_tokens,
            device=CPU,
            dtype=model.dtype,
        )
        self.positions: list[CachePosition] = []
        self._past_frames = 0

    def denoise(
        self,
        x_BFchw: Tensor,
        timesteps_B: Tensor,
        positions: BatchPositions,
        cache: RollingCache,
    ) -> Tensor:
        """One step of every row of `cache`: the estimates of their clean latents."""
        return denoise(
            self.model, self.schedule, x_BFchw, timesteps_B, positions, cache, self.conditioning
        )

    def prepare(self, x_BFchw: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Chunk 0: every step in one row, then every row a copy of it."""
        frames = x_BFchw.shape[1]
        first = position_of(self.params, past_frames=0, frames=frames)
        clean = x_BFchw
        for step, timestep in enumerate(self.steps):
            x = (
                x_BFchw
                if step == 0
                else renoise(self.schedule, clean, noises[step - 1][None], timestep[None])
            )
            clean = self.denoise(x, timestep[None], to_device([first], CPU), self.cache.rows(0, 1))
        for row in range(1, len(self.steps)):
            self.cache.copy_row(0, row)
        self.positions = [position_of(self.params, past_frames=frames, frames=1)] * len(self.steps)
        self.hidden = torch.zeros(len(self.steps), 1, *x_BFchw.shape[2:], dtype=x_BFchw.dtype)
        self._past_frames = frames
        return clean

    def call(self, x_BFchw: Tensor, current_step: int, noises: Sequence[Tensor]) -> Tensor:
        """Add a chunk and run a step of all rows; returns the rows' latents after it."""
        self.positions = [
            position_of(self.params, past_frames=self._past_frames, frames=1),
            *self.positions[:-1],
        ]
        self._past_frames += 1
        if current_step >= 0:
            self.steps = torch.cat([torch.tensor([current_step]), self.steps[1:]])
        self.fed = torch.cat([x_BFchw, self.hidden[:-1]])
        clean = self.denoise(self.fed, self.steps, to_device(self.positions, CPU), self.cache)
        noised = [
            renoise(self.schedule, clean[row : row + 1], noise, self.steps[row + 1 : row + 2])
            for row, noise in enumerate(noises)
        ]
        self.hidden = torch.cat([*noised, clean[-1:]])
        return self.hidden

    def cache_tensors(self) -> dict[str, Tensor]:
        """The cache's contents and indices, by their names in the vectors."""
        tensors: dict[str, Tensor] = {}
        layers = self.model.params.layers
        for layer in range(layers):
            tensors[f"kv.{layer}.k"] = self.cache.k_NRKSHD[layer].flatten(1, 2)
            tensors[f"kv.{layer}.v"] = self.cache.v_NRKSHD[layer].flatten(1, 2)
        ends = torch.tensor([p.start + p.frames for p in self.positions]) * self.frame_tokens
        lengths = torch.tensor([p.length for p in self.positions]) * self.frame_tokens
        tensors["kv.global_end_index"] = ends.expand(layers, -1)
        tensors["kv.local_end_index"] = lengths.expand(layers, -1)
        return tensors


def noises(case: Case, prefix: str, count: int) -> list[Tensor]:
    """The first `count` draws recorded under a prefix."""
    return [case.tensor(f"{prefix}.{k}") for k in range(count)]
