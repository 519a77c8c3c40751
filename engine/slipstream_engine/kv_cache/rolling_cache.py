"""The keys and values of the rolling cache: one row for each (stream, denoising step).

A row holds `slots` latent frames a layer:

    | 0 .. pinned_slots - 1: sinks | pinned_slots .. slots - 1: a ring, overwritten in turn |

`kv_cache/positions.py` gives each chunk its temporal position and, while a row fills, its slots;
`kv_cache/eviction.py` chooses the slot once the row is full.

N layers, M layers that choose slots of their own, R rows, B batch, K slots, F frames of a chunk, S
tokens of a frame, L tokens, H heads, D head dim.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from einops import rearrange
from torch import Tensor

from slipstream_engine.config import CacheParams, DitParams, Positions
from slipstream_engine.kernels import operators
from slipstream_engine.kv_cache.eviction import EvictionPolicy, of_layers
from slipstream_engine.kv_cache.positions import BatchPositions

NOT_WRITTEN = 2**62  # the frame number of an empty slot: younger than any frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CacheView:
    """What a layer's queries may attend to.

    Args:
        k_BLHD, v_BLHD: keys and values of the first `length` slots.
        ages: with relative positions; None where keys are rotated already.
    """

    k_BLHD: Tensor
    v_BLHD: Tensor
    ages: "FrameAges | None" = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameAges:
    """Of each query frame and each cached frame, how many cached frames are older."""

    query_BF: Tensor
    key_BK: Tensor


class RollingCache:
    """Keys and values of independent rows, with their eviction state.

    Everything is allocated once. `rows(a, b)` is a view: a stream's cache and one step's cache are
    slices of a pool. So is `of_frames(tokens)`, for frames of fewer tokens: a row's frames then lie
    packed at the front of its memory. A batch over scattered rows names them by an index on the
    device. Writing is for inference only; training attends within its clip (`ClipContext` in
    `models/dit/attention_context.py`).
    """

    def __init__(
        self,
        dit: DitParams,
        params: CacheParams,
        *,
        rows: int,
        frame_tokens: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (dit.layers, rows, params.slots, frame_tokens, dit.heads, dit.head_dim)
        self.params = params
        self.k_NRKSHD = torch.zeros(shape, device=device, dtype=dtype)
        self.v_NRKSHD = torch.zeros(shape, device=device, dtype=dtype)
        deciding_layers = dit.layers if params.adapts else 1
        self.frame_MRK = torch.full((deciding_layers, *shape[1:3]), NOT_WRITTEN, device=device)
        self.eviction = EvictionPolicy(
            params, layers=dit.layers, rows=rows, width=dit.dim, device=device
        )
        self._all_rows_R = torch.arange(rows, device=device)

    @property
    def row_count(self) -> int:
        return self._all_rows_R.shape[0]

    @property
    def is_absolute(self) -> bool:
        """Whether keys are rotated before they are written."""
        return self.params.positions is Positions.REFERENCE

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.state())

    def rows(self, start: int, stop: int) -> Self:
        """Rows `start` to `stop` as a cache of their own, on the same memory."""
        view = object.__new__(type(self))
        view.params = self.params
        view.k_NRKSHD, view.v_NRKSHD, view.frame_MRK = (
            x[:, start:stop] for x in (self.k_NRKSHD, self.v_NRKSHD, self.frame_MRK)
        )
        view.eviction = self.eviction.rows(start, stop)
        view._all_rows_R = self._all_rows_R[: stop - start]
        return view

    def of_frames(self, tokens: int) -> Self:
        """The same rows for frames of so many tokens, no more than these, on the same memory: what
        either writes means nothing to the other, so a row is reset when it changes."""
        view = self.rows(0, self.row_count)
        view.k_NRKSHD, view.v_NRKSHD = (_packed(x, tokens) for x in (self.k_NRKSHD, self.v_NRKSHD))
        return view

    def reset(self) -> None:
        """Empty every row: equal to a new cache."""
        for tensor in self.state():
            tensor.zero_()
        self.frame_MRK.fill_(NOT_WRITTEN)

    def copy_row(self, source: int, target: int) -> None:
        """Make row `target` equal to row `source`, eviction state included."""
        for tensor in self.state():
            tensor[:, target] = tensor[:, source]

    def row_tensors(self, row: int, layers: range) -> list[Tensor]:
        """All that changes of some layers of a row, each tensor on the cache's memory."""
        return [
            tensor[layer, row]
            for tensor in self.state()
            for layer in (layers if self._is_by_layer(tensor) else range(len(tensor)))
        ]

    def likes_of_row(self, layers: int) -> list[Tensor]:
        """Tensors like those of `row_tensors` of so many layers, which may be more than there are.

        Nothing is to be read from them, or written.
        """
        return [
            tensor[0, 0]
            for tensor in self.state()
            for _ in range(layers if self._is_by_layer(tensor) else len(tensor))
        ]

    def hold_layers(self, layers: Sequence[int | None]) -> None:
        """Hold these of its layers from now on, in this order; None for a new one, empty.

        Views made before are of the memory before. One tensor after the other is made anew, so
        that none but the largest lies twice in memory.
        """
        if self.params.adapts:
            self.frame_MRK = of_layers(self.frame_MRK, layers, NOT_WRITTEN)
            self.eviction.hold_layers(layers)
        self.k_NRKSHD = of_layers(self.k_NRKSHD, layers, 0)
        self.v_NRKSHD = of_layers(self.v_NRKSHD, layers, 0)

    def _is_by_layer(self, tensor: Tensor) -> bool:
        """Whether each layer has its own; else there is one for all, or none."""
        return self.params.adapts or tensor is self.k_NRKSHD or tensor is self.v_NRKSHD

    def state(self) -> Iterator[Tensor]:
        """All that changes, each tensor with layers and rows first."""
        yield from (self.k_NRKSHD, self.v_NRKSHD, self.frame_MRK)
        yield from self.eviction.state()

    def write(
        self,
        layer: int,
        k_BLHD: Tensor,
        v_BLHD: Tensor,
        positions: BatchPositions,
        rows_B: Tensor | None = None,
        ages: FrameAges | None = None,
    ) -> CacheView:
        """Store a chunk's keys and values in one layer.

        Args:
            k_BLHD, v_BLHD: of the new frames; keys rotated already, unless positions are relative.
            rows_B: the batch's rows, int64; None means every row of this cache in order, which
                reads without a copy.
            ages: as an earlier layer of this pass returned them, if sinks do not adapt: all layers
                choose alike then.

        Returns:
            What the chunk's queries may attend to.
        """
        batch, frames = positions.frames_BF.shape
        assert rows_B is not None or batch == self.row_count, (
            "a batch without row numbers must cover the cache"
        )
        row_B = self._all_rows_R if rows_B is None else rows_B
        k_BFSHD = rearrange(k_BLHD, "b (f s) h d -> b f s h d", f=frames)
        v_BFSHD = rearrange(v_BLHD, "b (f s) h d -> b f s h d", f=frames)
        slots_BF = self.eviction.select_slots(layer, row_B, k_BFSHD, v_BFSHD, positions.slots_BF)
        at = (row_B[:, None], slots_BF)
        self.k_NRKSHD[layer][at] = k_BFSHD
        self.v_NRKSHD[layer][at] = v_BFSHD
        if ages is None and not self.is_absolute:
            ages = self._record(layer if self.params.adapts else 0, row_B, slots_BF, positions)
        return CacheView(
            k_BLHD=_read(self.k_NRKSHD[layer], rows_B, positions.length),
            v_BLHD=_read(self.v_NRKSHD[layer], rows_B, positions.length),
            ages=ages,
        )

    def write_frame(
        self,
        layer: int,
        k_BSC: Tensor,
        v_BSC: Tensor,
        sums_BGC: Tensor,
        positions: BatchPositions,
        rows_B: Tensor | None = None,
    ) -> CacheView:
        """`write` in two launches, for chunks of one frame and keys that are rotated already.

        Args:
            sums_BGC: of keys and values over groups of tokens, see `kernels/plain_forms.py`.
        """
        row_B = self._all_rows_R if rows_B is None else rows_B
        slots_B = self.eviction.choose_slots(
            layer, row_B, sums_BGC, positions.slots_BF[:, 0], tokens=k_BSC.shape[1]
        )
        keys, values = self.k_NRKSHD[layer].flatten(-2), self.v_NRKSHD[layer].flatten(-2)
        operators.store_frame(keys, values, k_BSC, v_BSC, row_B, slots_B)
        return CacheView(
            k_BLHD=_read(self.k_NRKSHD[layer], rows_B, positions.length),
            v_BLHD=_read(self.v_NRKSHD[layer], rows_B, positions.length),
        )

    def _record(
        self, deciding_layer: int, rows_B: Tensor, slots_BF: Tensor, positions: BatchPositions
    ) -> FrameAges:
        """Write down which frame is in which slot."""
        frame_RK = self.frame_MRK[deciding_layer]
        frame_RK[rows_B[:, None], slots_BF] = positions.frames_BF
        frame_BK = frame_RK[rows_B]
        return FrameAges(
            query_BF=_count_older(frame_BK, positions.frames_BF),
            key_BK=_count_older(frame_BK, frame_BK[:, : positions.length]),
        )


def _packed(x_NRKSHD: Tensor, tokens: int) -> Tensor:
    slots, most, heads, head_dim = x_NRKSHD.shape[2:]
    assert tokens <= most, f"frames of {tokens} tokens do not fit where {most} do"
    numbers = slots * tokens * heads * head_dim
    packed_NRX = x_NRKSHD.flatten(2)[:, :, :numbers]
    return rearrange(
        packed_NRX, "n r (k s h d) -> n r k s h d", k=slots, s=tokens, h=heads, d=head_dim
    )


def _read(cached_RKSHD: Tensor, rows_B: Tensor | None, length: int) -> Tensor:
    rows = cached_RKSHD if rows_B is None else cached_RKSHD[rows_B]
    return rearrange(rows[:, :length], "b k s h d -> b (k s) h d")


def _count_older(frame_BK: Tensor, than_BQ: Tensor) -> Tensor:
    return (frame_BK[:, None, :] < than_BQ[:, :, None]).sum(dim=-1)
