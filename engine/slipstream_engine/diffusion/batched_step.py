"""The next denoising step of several chunks in one forward pass.

There are three ways, which give the same numbers but for rounding:

- A single chunk runs on its stream's own cache row (`diffusion/chunk.py`), which copies no cache.
- Rows that lie side by side in the pool, as a stream batch's do, are a slice of it: no copy either.
- Other rows are gathered from the pool by number. Where graphs are recorded all batches go this
  way, for one graph of each batch size then serves any streams at any steps.

B batch, F latent frames, C channels, H W size.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from slipstream_engine.device.precision import reduced_precision_matmul
from slipstream_engine.diffusion.chunk import ChunkMaker, LatentChunk
from slipstream_engine.diffusion.cuda_graphs import GraphRunner
from slipstream_engine.diffusion.denoise import denoise
from slipstream_engine.diffusion.shared_conditioning import SharedConditioning
from slipstream_engine.kv_cache.positions import BatchPositions, to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _StackedSteps:
    """The next steps of several chunks as one batch.

    Args:
        rows: of the pool, one for each sample, rising.
        is_steady: all cache rows are full, so the batch's shapes will come again.
        cache: the pool, for frames of this size.
    """

    x_BFCHW: Tensor
    timesteps_B: Tensor
    positions: BatchPositions
    conditioning: Conditioning
    rows: tuple[int, ...]
    is_steady: bool
    cache: RollingCache

    @property
    def has_adjacent_rows(self) -> bool:
        return self.rows[-1] - self.rows[0] == len(self.rows) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchedDenoiser(Generic[CodecStateT]):
    """Runs denoising passes over chunks of any streams.

    Args:
        maker: of every chunk.
        pool: the cache rows of all streams.
        runner: runs passes on the pool's memory.
        shared: the conditioning of passes of several chunks.
    """

    maker: ChunkMaker[CodecStateT]
    pool: RollingCache
    runner: GraphRunner
    shared: SharedConditioning

    def run(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        """Run the next step of each chunk; no two of one stream may be at the same step."""
        is_reduced = self.maker.preset.reduced_precision
        with reduced_precision_matmul() if is_reduced else nullcontext():
            if len(chunks) == 1:
                self.maker.step(chunks[0])
            else:
                self._run_batch(sorted(chunks, key=_pool_row))

    def _run_batch(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        steps = self._stack(chunks)
        # a pass that fails half-way, for want of memory, may be run again in two
        with self.pool.eviction.restored_on_error(steps.rows):
            if steps.has_adjacent_rows and not self.runner.records:
                clean_BFCHW = self._denoise_slice(steps)
            else:
                clean_BFCHW = self._denoise_gathered(steps)
        for chunk, clean_FCHW in zip(chunks, clean_BFCHW.unbind(), strict=True):
            self.maker.record_output(chunk, clean_FCHW)

    def _stack(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> _StackedSteps:
        x_BFCHW = torch.stack([self.maker.next_input(chunk) for chunk in chunks])
        return _StackedSteps(
            x_BFCHW=x_BFCHW,
            timesteps_B=torch.cat([chunk.timestep_B for chunk in chunks]),
            positions=to_device([chunk.position for chunk in chunks], x_BFCHW.device),
            conditioning=self.shared.load([chunk.conditioning for chunk in chunks]),
            rows=tuple(_pool_row(chunk) for chunk in chunks),
            is_steady=all(chunk.is_steady for chunk in chunks),
            cache=self.pool.of_frames(math.prod(self.maker.model.grid(*x_BFCHW.shape[-2:]))),
        )

    def _denoise_slice(self, steps: _StackedSteps) -> Tensor:
        """Over neighbouring rows of the pool."""
        return denoise(
            self.maker.model,
            self.maker.schedule,
            steps.x_BFCHW,
            steps.timesteps_B,
            steps.positions,
            steps.cache.rows(steps.rows[0], steps.rows[-1] + 1),
            steps.conditioning,
        )

    def _denoise_gathered(self, steps: _StackedSteps) -> Tensor:
        """Over rows of the pool named by number, from a graph where there is one."""

        def denoise_rows(
            x_BFCHW: Tensor,
            timesteps_B: Tensor,
            rows_B: Tensor,
            frames_BF: Tensor,
            slots_BF: Tensor,
        ) -> Tensor:
            return denoise(
                self.maker.model,
                self.maker.schedule,
                x_BFCHW,
                timesteps_B,
                replace(steps.positions, frames_BF=frames_BF, slots_BF=slots_BF),
                steps.cache,
                conditioning,
                rows_B=rows_B,
            )

        device, conditioning = steps.x_BFCHW.device, steps.conditioning
        rows_B = torch.tensor(steps.rows, pin_memory=device.type == "cuda")
        inputs = [
            *(steps.x_BFCHW, steps.timesteps_B, rows_B.to(device, non_blocking=True)),
            *(steps.positions.frames_BF, steps.positions.slots_BF),
        ]
        if not steps.is_steady:
            return denoise_rows(*inputs)
        key = "batch", len(steps.rows), conditioning.k_NBTHD.shape[1], *steps.x_BFCHW.shape[-2:]
        return self.runner.run(key, denoise_rows, *inputs)


def _pool_row(chunk: LatentChunk[CodecStateT]) -> int:
    return chunk.state.first_row + chunk.row
