"""Which slot of a cache row the next frame overwrites, decided on the device where sinks adapt.

Where they do not, the slot follows from the frame's number (`kv_cache/positions.py`). Where they
do, a full row evicts in this order (`spec/02` sections 2 and 8):

    1. sinks that wait for a refresh, the one added last first: a stack
    2. the slots behind the pinned ones, one after the other and again from the first: a ring

A sink is added to the stack by the adaptive test: the new frame is less similar to it than a
threshold. The reference keeps both in one list on the host; here they are small integer tensors and
the test is arithmetic on stored means, so the host never waits for the result.

N layers, R rows, B batch, K slots, F frames, J sinks, P places of the stack, S tokens, H heads, D
head dim, C = 2 * H * D.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch
import torch.nn.functional as F
from einops import reduce
from slipstream_protocol.parameters import MAX_STEPS
from torch import Tensor

from slipstream_engine.config import CacheParams
from slipstream_engine.kernels import operators
from slipstream_engine.kv_cache.positions import CHOSEN_BY_EVICTION


class EvictionPolicy:
    """The order of eviction for every layer and row of a cache; empty where no sink adapts.

    Attributes:
        head_NR: the ring's slot that is overwritten next, counted from its first one.
        pending_NRP: the stack of sinks to refresh, from the bottom up.
        pending_count_NR: its height; entries above it are never read.
        mean_NRKC: mean key and value of every slot, so that the test need not read the cache.
    """

    def __init__(
        self, params: CacheParams, *, layers: int, rows: int, width: int, device: torch.device
    ) -> None:
        deciding_layers = layers if params.adapts else 0

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(deciding_layers, rows, *shape, device=device, dtype=dtype)

        self.params = params
        self.head_NR = zeros()
        # a filling row takes nothing off the stack: each of its chunks may add a sink, and so may
        # each call on zeros with which the reference starts a stream batch
        self.pending_NRP = zeros(params.slots + MAX_STEPS)
        self.pending_count_NR = zeros()
        self.mean_NRKC = zeros(params.slots, 2, width, dtype=torch.float32)

    def state(self) -> tuple[Tensor, ...]:
        """All that changes, each with layers and rows first."""
        return self.head_NR, self.pending_NRP, self.pending_count_NR, self.mean_NRKC

    def rows(self, start: int, stop: int) -> Self:
        """Rows `start` to `stop` as a policy of their own, on the same memory."""
        view = object.__new__(type(self))
        view.params = self.params
        view.head_NR, view.pending_NRP, view.pending_count_NR, view.mean_NRKC = (
            x[:, start:stop] for x in self.state()
        )
        return view

    def hold_layers(self, layers: Sequence[int | None]) -> None:
        """See `RollingCache.hold_layers`."""
        self.head_NR, self.pending_NRP, self.pending_count_NR, self.mean_NRKC = (
            of_layers(tensor, layers, 0) for tensor in self.state()
        )

    @contextmanager
    def restored_on_error(self, rows: Sequence[int]) -> Iterator[None]:
        """If the block raises, these rows' order of eviction is what it was before."""
        if not self.params.adapts:
            yield
            return
        before = [torch.stack([x[:, row] for row in rows], dim=1) for x in self.state()]
        try:
            yield
        except BaseException:
            for tensor, saved in zip(self.state(), before, strict=True):
                for place, row in enumerate(rows):
                    tensor[:, row] = saved[:, place]
            raise

    def select_slots(
        self, layer: int, rows_B: Tensor, k_BFSHD: Tensor, v_BFSHD: Tensor, fill_BF: Tensor
    ) -> Tensor:
        """Choose the slot of each new frame, and advance the order of eviction.

        Args:
            fill_BF: the slot of each frame where the host knows it, `CHOSEN_BY_EVICTION` once the
                row is full; several frames only ever come to a row that fills.

        Returns:
            `[B, F]`, int64.
        """
        if not self.params.adapts:
            return fill_BF
        mean_BF2C = torch.stack([_mean(k_BFSHD), _mean(v_BFSHD)], dim=2)
        slots_BF = fill_BF
        if fill_BF.shape[1] == 1:
            evicted_B = self._evict(layer, rows_B, fill_BF, mean_BF2C)
            slots_BF = torch.where(fill_BF == CHOSEN_BY_EVICTION, evicted_B[:, None], fill_BF)
        self.mean_NRKC[layer][rows_B[:, None], slots_BF] = mean_BF2C
        return slots_BF

    def choose_slots(
        self, layer: int, rows_B: Tensor, sums_BGC: Tensor, fill_B: Tensor, *, tokens: int
    ) -> Tensor:
        """`select_slots` in one launch, for chunks of one frame of so many tokens.

        Args:
            sums_BGC: of keys and values over groups of tokens, see `kernels/plain_forms.py`.

        Returns:
            `[B]`, int64.
        """
        threshold = self.params.sink_threshold
        if threshold is None or not self.params.adapts:
            return fill_B
        slots_B: Tensor = operators.choose_slots(
            sums_BGC,
            rows_B,
            fill_B,
            self.head_NR[layer],
            self.pending_NRP[layer],
            self.pending_count_NR[layer],
            self.mean_NRKC[layer].flatten(-2),
            tokens,
            self.params.sinks,
            threshold,
            self.params.pinned_slots,
            self.params.ring_slots,
            self.params.count_unwritten_sinks,
        )
        return slots_B

    def _evict(self, layer: int, rows_B: Tensor, fill_BF: Tensor, mean_BF2C: Tensor) -> Tensor:
        """The slot to overwrite where a row is full; what it returns for other rows is unused."""
        is_full_B = fill_BF[:, 0] == CHOSEN_BY_EVICTION
        sink_B, is_stale_B = self._stalest_sink(layer, rows_B, fill_BF, mean_BF2C)
        pending_B, has_pending_B = self._push_pop_pending(
            layer, rows_B, sink_B, is_pushed_B=is_stale_B, is_popped_B=is_full_B
        )
        ring_B = self._advance(layer, rows_B, is_full_B & ~has_pending_B)
        return torch.where(has_pending_B, pending_B, ring_B)

    def _advance(self, layer: int, rows_B: Tensor, moves_B: Tensor) -> Tensor:
        """The ring's next slot in each row; the head moves on where `moves_B`."""
        head_B = self.head_NR[layer][rows_B]
        self.head_NR[layer][rows_B] = (head_B + moves_B.long()) % self.params.ring_slots
        return self.params.pinned_slots + head_B

    def _push_pop_pending(
        self,
        layer: int,
        rows_B: Tensor,
        sink_B: Tensor,
        *,
        is_pushed_B: Tensor,
        is_popped_B: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Push a sink on each row's stack where `is_pushed_B`, then pop one where `is_popped_B`.

        Returns:
            The sink popped, and whether there was one to pop, `[B]` each.
        """
        pending_RP = self.pending_NRP[layer]
        places = pending_RP.shape[-1]
        count_B = self.pending_count_NR[layer][rows_B]
        # written in every row, for a choice of rows would make the host wait; it counts only where
        # the height grows; on a full stack the newest sink replaces the top
        pending_RP[rows_B, count_B.clamp(max=places - 1)] = sink_B
        count_B = (count_B + is_pushed_B.long()).clamp(max=places)
        top_B = pending_RP[rows_B, (count_B - 1).clamp(min=0)]
        has_popped_B = is_popped_B & (count_B > 0)
        self.pending_count_NR[layer][rows_B] = count_B - has_popped_B.long()
        return top_B, has_popped_B

    def _stalest_sink(
        self, layer: int, rows_B: Tensor, fill_BF: Tensor, mean_BF2C: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The sink least like the new frame, and whether any is below the threshold, `[B]` each.

        The likeness is the mean of two cosines, between mean keys and between mean values.
        """
        threshold = self.params.sink_threshold
        assert threshold is not None, "only a policy that adapts looks at its sinks"
        sinks = self.params.sinks
        sink_BJ2C = self.mean_NRKC[layer][rows_B, :sinks]
        likeness_BJ = F.cosine_similarity(sink_BJ2C, mean_BF2C, dim=-1, eps=1e-8).mean(dim=-1)
        if not self.params.count_unwritten_sinks:
            sink_J = torch.arange(sinks, device=fill_BF.device)
            is_unwritten_BJ = (fill_BF >= 0) & (sink_J >= fill_BF)
            likeness_BJ = likeness_BJ.masked_fill(is_unwritten_BJ, torch.inf)
        is_stale_BJ = (likeness_BJ < threshold) & (fill_BF != 0)
        return _first_argmin(likeness_BJ), is_stale_BJ.any(dim=1)


def of_layers(tensor: Tensor, layers: Sequence[int | None], empty: int) -> Tensor:
    """A tensor of these of its layers, in this order; None for a new one, filled with `empty`."""
    made = tensor.new_full((len(layers), *tensor.shape[1:]), empty)
    for place, layer in enumerate(layers):
        if layer is not None:
            made[place] = tensor[layer]
    return made


def _mean(x_BFSHD: Tensor) -> Tensor:
    return reduce(x_BFSHD.float(), "b f s h d -> b f (h d)", "mean")


def _first_argmin(x_BJ: Tensor) -> Tensor:
    """Index of the least number, the first one on a tie: torch's argmin promises no order."""
    index_J = torch.arange(x_BJ.shape[1], device=x_BJ.device)
    least_B1 = x_BJ.amin(dim=1, keepdim=True)
    return torch.where(x_BJ == least_B1, index_J, x_BJ.shape[1]).amin(dim=1)
