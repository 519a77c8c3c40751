"""What self-attention attends to: a stream's KV cache, or the earlier frames of a training clip.

A context is made for one forward pass and holds the positions of its tokens; the transformer's
blocks know neither positions nor caches.

B batch, F frames, S tokens of a frame, L = F * S tokens, K cached frames, H heads, D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import repeat
from torch import Tensor

from slipstream_engine.kernels import operators
from slipstream_engine.kv_cache.positions import BatchPositions
from slipstream_engine.kv_cache.rolling_cache import FrameAges, RollingCache
from slipstream_engine.models.dit.attention import attend
from slipstream_engine.models.dit.rope import Rope, rotate
from slipstream_engine.models.norms import RMSNorm


class AttentionContext(Protocol):
    """Attention of one layer's new tokens to themselves and to the past."""

    def attend(self, layer: int, q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor) -> Tensor:
        """`[B, L, H * D]` for queries and keys that are normed but not yet rotated."""
        ...


class KVCacheContext:
    """A batch of micro-steps, each at its own position in its own cache row.

    Args:
        rows, columns: of the token grid.
        rows_B: which cache row each sample of the batch owns; None for all of them in order.
    """

    def __init__(
        self,
        cache: RollingCache,
        positions: BatchPositions,
        rope: Rope,
        *,
        rows: int,
        columns: int,
        rows_B: Tensor | None = None,
    ) -> None:
        self._cache = cache
        self._positions = positions
        self._rope = rope
        self._grid = (rows, columns)
        self._rows_B = rows_B
        self._rotation = (
            rope.rotation(positions.frames_BF, rows, columns) if cache.is_absolute else None
        )
        self._by_age: _RotationByAge | None = None
        mask_BK = positions.mask_BK
        self._mask = (
            None if mask_BK is None else repeat(mask_BK, "b k -> b 1 1 (k s)", s=rows * columns)
        )

    def attend(self, layer: int, q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor) -> Tensor:
        if self._rotation is not None:
            q_BLHD, k_BLHD = rotate(q_BLHD, self._rotation), rotate(k_BLHD, self._rotation)
        known = None if self._cache.params.adapts else self._by_age
        view = self._cache.write(
            layer,
            k_BLHD,
            v_BLHD,
            self._positions,
            self._rows_B,
            None if known is None else known.ages,
        )
        k_BLHD = view.k_BLHD
        if view.ages is not None:
            self._by_age = by_age = known or self._rotation_by_age(view.ages)
            q_BLHD, k_BLHD = rotate(q_BLHD, by_age.of_queries), rotate(k_BLHD, by_age.of_keys)
        return attend(q_BLHD, k_BLHD, view.v_BLHD, self._mask)

    @property
    def takes_frames(self) -> bool:
        """Whether `attend_frame` may be called."""
        return self._rotation is not None and self._positions.frames_BF.shape[1] == 1

    def attend_frame(
        self,
        layer: int,
        q_BLC: Tensor,
        k_BLC: Tensor,
        v_BLC: Tensor,
        q_norm: RMSNorm,
        k_norm: RMSNorm,
    ) -> Tensor:
        """`attend` in few launches, for one frame's queries and keys that are not normed yet."""
        assert self._rotation is not None, "keys that are rotated when read have another way"
        q_BLC, k_BLC, sums_BGC = operators.norm_rotate(
            *(q_BLC, k_BLC, v_BLC, q_norm.weight, k_norm.weight),
            *(self._rotation.squeeze(2), q_norm.eps),
        )
        view = self._cache.write_frame(layer, k_BLC, v_BLC, sums_BGC, self._positions, self._rows_B)
        q_BLHD = q_BLC.unflatten(-1, view.k_BLHD.shape[-2:])
        return attend(q_BLHD, view.k_BLHD, view.v_BLHD, self._mask)

    def _rotation_by_age(self, ages: FrameAges) -> "_RotationByAge":
        return _RotationByAge(
            ages=ages,
            of_queries=self._rope.rotation(ages.query_BF, *self._grid),
            of_keys=self._rope.rotation(ages.key_BK, *self._grid),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _RotationByAge:
    ages: FrameAges
    of_queries: Tensor
    of_keys: Tensor


class ClipContext:
    """A whole clip at once, for training: each block of frames sees itself and those before it.

    The same as feeding the blocks one by one to a cache that is large enough, and differentiable.

    Args:
        blocks: frames in each block, in order; chunk 0 of a stream is a block of 2.
        rows, columns: of the token grid.
        first: temporal position of the first frame.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        rope: Rope,
        *,
        rows: int,
        columns: int,
        device: torch.device,
        first: int = 0,
    ) -> None:
        frames_1F = torch.arange(first, first + sum(blocks), device=device)[None]
        self._rotation = rope.rotation(frames_1F, rows, columns)
        block_F = torch.arange(len(blocks), device=device).repeat_interleave(
            torch.tensor(blocks, device=device)
        )
        block_L = repeat(block_F, "f -> (f s)", s=rows * columns)
        self._mask = None if len(blocks) == 1 else block_L[:, None] >= block_L[None, :]

    def attend(self, layer: int, q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor) -> Tensor:
        return attend(
            rotate(q_BLHD, self._rotation), rotate(k_BLHD, self._rotation), v_BLHD, self._mask
        )
