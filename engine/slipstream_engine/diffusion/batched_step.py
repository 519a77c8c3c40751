"""The next step of several chunks in one forward pass, over the cache rows of all streams.

A pass of one goes the stream's own way (`diffusion/chunk.py`), which copies no cache; nor does one
over rows that lie side by side, as a stream batch's do. Others read their rows out of the pool by
number. So do all where graphs are recorded: one for each batch size serves any streams and steps.

B batch, F latent frames, C channels, H W size.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from slipstream_engine.device.precision import reduced_precision_matmul
from slipstream_engine.diffusion.chunk import ChunkMaker, LatentChunk
from slipstream_engine.diffusion.cuda_graphs import GraphRunner
from slipstream_engine.diffusion.denoise import denoise_at
from slipstream_engine.kv_cache.positions import to_device
from slipstream_engine.kv_cache.rolling_cache import RollingCache
from slipstream_engine.models.dit.blocks import Conditioning

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchedDenoiser(Generic[CodecStateT]):
    """Runs a pass.

    Args:
        maker: of every chunk.
        pool: the rows of all streams.
        runner: runs passes on the pool's memory.
    """

    maker: ChunkMaker[CodecStateT]
    pool: RollingCache
    runner: GraphRunner

    def run(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        """The next step of each; no two of one stream may be at the same step."""
        with reduced_precision_matmul() if self.maker.preset.quick_products else nullcontext():
            self._run(chunks)

    def _run(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> None:
        if len(chunks) == 1:
            self.maker.step(chunks[0])
            return
        in_order = sorted(chunks, key=_pool_row)
        clean_BFCHW = self._denoise(in_order)
        for chunk, clean_FCHW in zip(in_order, clean_BFCHW.unbind(), strict=True):
            self.maker.take(chunk, clean_FCHW)

    def _denoise(self, chunks: Sequence[LatentChunk[CodecStateT]]) -> Tensor:
        x_BFCHW = torch.stack([self.maker.feed(chunk) for chunk in chunks])
        timesteps_B = torch.cat([chunk.timestep_B for chunk in chunks])
        placement = to_device([chunk.position for chunk in chunks], x_BFCHW.device)
        conditioning = _conditioning(chunks)
        rows = [_pool_row(chunk) for chunk in chunks]
        if rows[-1] - rows[0] == len(rows) - 1 and not self.runner.records:
            view = self.pool.rows(rows[0], rows[-1] + 1)
            return denoise_at(
                self.maker.model,
                self.maker.schedule,
                x_BFCHW,
                timesteps_B,
                placement,
                view,
                conditioning,
            )
        rows_B = torch.tensor(rows, pin_memory=x_BFCHW.device.type == "cuda").to(
            x_BFCHW.device, non_blocking=True
        )
        pooled = () if conditioning.pooled_BC is None else (conditioning.pooled_BC,)

        def step(
            x: Tensor,
            timesteps: Tensor,
            rows: Tensor,
            frames_BF: Tensor,
            slots_BF: Tensor,
            k_NBTHD: Tensor,
            v_NBTHD: Tensor,
            pooled_BC: Tensor | None = None,
        ) -> Tensor:
            return denoise_at(
                self.maker.model,
                self.maker.schedule,
                x,
                timesteps,
                replace(placement, frames_BF=frames_BF, slots_BF=slots_BF),
                self.pool,
                Conditioning(k_NBTHD=k_NBTHD, v_NBTHD=v_NBTHD, pooled_BC=pooled_BC),
                rows_B=rows,
            )

        inputs = (
            *(x_BFCHW, timesteps_B, rows_B, placement.frames_BF, placement.slots_BF),
            *(conditioning.k_NBTHD, conditioning.v_NBTHD, *pooled),
        )
        is_full = all(chunk.position.length == self.pool.params.slots for chunk in chunks)
        if not is_full or x_BFCHW.shape[1] > 1:
            return step(*inputs)
        key = "together", len(chunks), conditioning.k_NBTHD.shape[1]
        return self.runner.run(key, step, *inputs)


def _pool_row(chunk: LatentChunk[CodecStateT]) -> int:
    return chunk.state.first_row + chunk.row


def _conditioning(chunks: Sequence[LatentChunk[CodecStateT]]) -> Conditioning:
    """Of one prompt for all, where they have the same, or of one for each."""
    first = chunks[0].conditioning
    if all(chunk.conditioning is first for chunk in chunks):
        return first
    return Conditioning.joined([chunk.conditioning for chunk in chunks])
