"""The rolling key-value cache: a few pinned slots and a ring, one row for each (stream, step).

A row holds `slots` latent frames a layer:

    | 0 .. pinned-1: stay | pinned .. slots-1: the ring, overwritten in turn |

`kv_cache/positions.py` says where a chunk stands, `kv_cache/eviction.py` which slot gives way,
this file holds the keys and values.

N layers, R rows, B batch, K slots, F frames of a chunk, S tokens of a frame, L tokens, H heads, D
head dim, J sinks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from einops import rearrange
from torch import Tensor

from slipstream_engine.config import CacheParams, DitParams, Positions
from slipstream_engine.kv_cache.eviction import EvictionPolicy
from slipstream_engine.kv_cache.positions import BatchPositions

NOT_WRITTEN = 2**62  # a frame number younger than any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CacheView:
    """What a layer's queries may attend to.

    Args:
        k_BLHD, v_BLHD: keys and values of the first `length` slots.
        query_age_BF, key_age_BK: with relative positions, how many cached frames are older;
            otherwise None.
    """

    k_BLHD: Tensor
    v_BLHD: Tensor
    query_age_BF: Tensor | None = None
    key_age_BK: Tensor | None = None


class RollingCache:
    """Keys and values of independent rows, with all that decides what is overwritten next.

    Everything is allocated once. `rows(a, b)` is a view: a stream's cache and one step's cache are
    slices of a pool. A batch over scattered rows names them by an index on the device. Writing is
    for inference only; training attends inside its clip (`models/memory.py`).
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
        self.frame_NRK = torch.full(shape[:3], NOT_WRITTEN, device=device)
        self.ring = EvictionPolicy(
            params, layers=dit.layers, rows=rows, width=dit.dim, device=device
        )
        self._order_R = torch.arange(rows, device=device)

    @property
    def row_count(self) -> int:
        return self._order_R.shape[0]

    @property
    def is_absolute(self) -> bool:
        """Whether keys are rotated before they are written."""
        return self.params.positions is Positions.REFERENCE

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._state())

    def rows(self, start: int, stop: int) -> Self:
        """Rows `start` to `stop` as a cache of their own, on the same memory."""
        view = object.__new__(type(self))
        view.params = self.params
        view.k_NRKSHD, view.v_NRKSHD, view.frame_NRK = (
            x[:, start:stop] for x in (self.k_NRKSHD, self.v_NRKSHD, self.frame_NRK)
        )
        view.ring = self.ring.rows(start, stop)
        view._order_R = self._order_R[: stop - start]
        return view

    def reset(self) -> None:
        """Forget everything: equal to a cache just made."""
        for tensor in self._state():
            tensor.zero_()
        self.frame_NRK.fill_(NOT_WRITTEN)

    def copy_row(self, source: int, target: int) -> None:
        """Make row `target` equal to row `source`, ring and all."""
        for tensor in self._state():
            tensor[:, target] = tensor[:, source]

    def _state(self) -> Iterator[Tensor]:
        yield from (self.k_NRKSHD, self.v_NRKSHD, self.frame_NRK)
        yield from self.ring.state()

    def write(
        self,
        layer: int,
        k_BLHD: Tensor,
        v_BLHD: Tensor,
        placement: BatchPositions,
        rows_B: Tensor | None = None,
    ) -> CacheView:
        """Store a chunk's keys and values in one layer, and say what its queries may see.

        Args:
            k_BLHD, v_BLHD: of the new frames; keys rotated already, unless positions are relative.
            rows_B: the batch's rows, int64; None means every row of this cache in order, which
                reads without a copy.
        """
        batch, frames = placement.frames_BF.shape
        assert rows_B is not None or batch == self.row_count, (
            "a batch without row numbers must cover the cache"
        )
        order_B = self._order_R if rows_B is None else rows_B
        k_BFSHD = rearrange(k_BLHD, "b (f s) h d -> b f s h d", f=frames)
        v_BFSHD = rearrange(v_BLHD, "b (f s) h d -> b f s h d", f=frames)
        choice = self.ring.choose(layer, order_B, k_BFSHD, v_BFSHD, placement.slots_BF)
        at = (order_B[:, None], choice.slots_BF)
        for cached_RKSHD, new_BFSHD in (
            (self.k_NRKSHD[layer], k_BFSHD),
            (self.v_NRKSHD[layer], v_BFSHD),
        ):
            if choice.copies_BJ is not None:
                self._copy_to_sinks(cached_RKSHD, order_B, new_BFSHD, choice.copies_BJ)
            cached_RKSHD[at] = new_BFSHD
        seen = CacheView(
            k_BLHD=_read(self.k_NRKSHD[layer], rows_B, placement.length),
            v_BLHD=_read(self.v_NRKSHD[layer], rows_B, placement.length),
        )
        if self.is_absolute:
            return seen
        if choice.copies_BJ is not None:
            self._copy_to_sinks(
                self.frame_NRK[layer], order_B, placement.frames_BF, choice.copies_BJ
            )
        self.frame_NRK[layer][at] = placement.frames_BF
        frame_BK = self.frame_NRK[layer][order_B]
        return replace(
            seen,
            query_age_BF=_count_older(frame_BK, placement.frames_BF),
            key_age_BK=_count_older(frame_BK, frame_BK[:, : placement.length]),
        )

    def _copy_to_sinks(
        self, cached_RK: Tensor, order_B: Tensor, new_BF: Tensor, copies_BJ: Tensor
    ) -> None:
        """Overwrite the chosen sinks with the one new frame, whatever follows `K` and `F`."""
        sinks = copies_BJ.shape[1]
        copies = copies_BJ.reshape(*copies_BJ.shape, *[1] * (new_BF.ndim - 2))
        cached_RK[order_B, :sinks] = torch.where(copies, new_BF, cached_RK[order_B, :sinks])


def _read(cached_RKSHD: Tensor, rows_B: Tensor | None, length: int) -> Tensor:
    rows = cached_RKSHD if rows_B is None else cached_RKSHD[rows_B]
    return rearrange(rows[:, :length], "b k s h d -> b (k s) h d")


def _count_older(frame_BK: Tensor, than_BQ: Tensor) -> Tensor:
    return (frame_BK[:, None, :] < than_BQ[:, :, None]).sum(dim=-1)
