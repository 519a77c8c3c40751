"""Which slot a layer overwrites next, decided on the device.

The reference keeps a list of slots to evict for each layer and row: pending sink refreshes, last
    come first, and behind them the ring in turn. Here that list is a stack and a head, in small
    integer tensors, and the adaptive test is arithmetic on stored means; the host never learns the
    outcome (`spec/02` sections 2 and 8).

N layers, R rows, B batch, K slots, F frames, J sinks, S tokens, H heads, D head dim, C = 2 * H * D.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from slipstream_protocol.parameters import MAX_STEPS
from torch import Tensor

from slipstream_engine.config import CacheParams, SinkRefresh
from slipstream_engine.kv_cache.positions import RING_CHOOSES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotChoice:
    """Where the new frames go.

    Args:
        slots_BF: one slot for each frame.
        copies_BJ: sinks that get a copy of the new frame besides; None where the policy knows no
            such thing.
    """

    slots_BF: Tensor
    copies_BJ: Tensor | None = None


class EvictionPolicy:
    """The order of eviction for every layer and row of a cache."""

    def __init__(
        self, params: CacheParams, *, layers: int, rows: int, width: int, device: torch.device
    ) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(layers, rows, *shape, device=device, dtype=dtype)

        self.params = params
        self.head_NR = zeros()
        # while a row fills each chunk may leave one refresh, and so may each junk call of a stream
        # batch's start
        self.pending_NRP = zeros(params.slots + MAX_STEPS if params.adapts else 0)
        self.pending_count_NR = zeros()
        # the mean key and value of every slot, kept so that the test never reads the cache again
        self.mean_NRKC = zeros(params.slots if params.adapts else 0, 2, width, dtype=torch.float32)

    def state(self) -> tuple[Tensor, ...]:
        """All that changes, each with layers and rows first."""
        return self.head_NR, self.pending_NRP, self.pending_count_NR, self.mean_NRKC

    def rows(self, start: int, stop: int) -> Self:
        """Rows `start` to `stop` as a ring of their own, on the same memory."""
        view = object.__new__(type(self))
        view.params = self.params
        view.head_NR, view.pending_NRP, view.pending_count_NR, view.mean_NRKC = (
            x[:, start:stop] for x in self.state()
        )
        return view

    def choose(
        self, layer: int, rows_B: Tensor, k_BFSHD: Tensor, v_BFSHD: Tensor, fill_BF: Tensor
    ) -> SlotChoice:
        """Take the slots for a chunk's keys and values, and move on.

        Args:
            fill_BF: the slot of each frame while its row fills, `RING_CHOOSES` after that.
        """
        frames = fill_BF.shape[1]
        threshold = self.params.sink_threshold
        if not self.params.adapts or threshold is None:
            return SlotChoice(
                slots_BF=fill_BF if frames > 1 else self._turn(layer, rows_B, fill_BF, None)
            )
        mean_BF2C = torch.stack([_mean(k_BFSHD), _mean(v_BFSHD)], dim=2)
        if frames > 1:
            choice = SlotChoice(slots_BF=fill_BF)
        else:
            likeness_BJ = self._likeness(layer, rows_B, mean_BF2C, fill_BF)
            stale_BJ = (likeness_BJ < threshold) & (fill_BF != 0)
            if self.params.sink_refresh is SinkRefresh.ALL_BELOW:
                choice = SlotChoice(
                    slots_BF=self._turn(layer, rows_B, fill_BF, None), copies_BJ=stale_BJ
                )
            else:
                least_B = _first_least(likeness_BJ)
                pending_B = self._pend(layer, rows_B, least_B, stale_BJ.any(dim=1), fill_BF[:, 0])
                choice = SlotChoice(slots_BF=self._turn(layer, rows_B, fill_BF, pending_B))
        self._remember(layer, rows_B, mean_BF2C, choice)
        return choice

    def _turn(
        self, layer: int, rows_B: Tensor, fill_BF: Tensor, pending_B: Tensor | None
    ) -> Tensor:
        """The slot of the ring, or of the pending sink before it; moves the head on."""
        fill_B = fill_BF[:, 0]
        head_B = self.head_NR[layer][rows_B]
        moves_B = fill_B == RING_CHOOSES
        slot_B = self.params.pinned + head_B
        if pending_B is not None:
            is_pending_B = pending_B >= 0
            slot_B = torch.where(is_pending_B, pending_B, slot_B)
            moves_B = moves_B & ~is_pending_B
        self.head_NR[layer][rows_B] = (head_B + moves_B.long()) % self.params.ring
        return torch.where(fill_B == RING_CHOOSES, slot_B, fill_B)[:, None]

    def _pend(
        self, layer: int, rows_B: Tensor, sink_B: Tensor, is_stale_B: Tensor, fill_B: Tensor
    ) -> Tensor:
        """Put a stale sink on the stack; where a row is full take the top off.

        Returns:
            The sink to overwrite now, -1 where there is none.
        """
        pending_RP = self.pending_NRP[layer]
        room = pending_RP.shape[-1]
        count_B = self.pending_count_NR[layer][rows_B]
        # what lies above the count is never read, so a sink that is not stale may be written there
        pending_RP[rows_B, count_B.clamp(max=room - 1)] = sink_B
        count_B = (count_B + is_stale_B.long()).clamp(max=room)
        top_B = pending_RP[rows_B, (count_B - 1).clamp(min=0)]
        takes_B = (fill_B == RING_CHOOSES) & (count_B > 0)
        self.pending_count_NR[layer][rows_B] = count_B - takes_B.long()
        return torch.where(takes_B, top_B, -1)

    def _likeness(self, layer: int, rows_B: Tensor, mean_BF2C: Tensor, fill_BF: Tensor) -> Tensor:
        """Mean of the cosines between each sink's mean key and value and the new frame's."""
        sinks = self.params.sinks
        sink_BJ2C = self.mean_NRKC[layer][rows_B, :sinks]
        likeness_BJ = F.cosine_similarity(sink_BJ2C, mean_BF2C, dim=-1, eps=1e-8).mean(dim=-1)
        if self.params.count_unwritten_sinks:
            return likeness_BJ
        is_unwritten_BJ = (fill_BF >= 0) & (torch.arange(sinks, device=fill_BF.device) >= fill_BF)
        return likeness_BJ.masked_fill(is_unwritten_BJ, torch.inf)

    def _remember(self, layer: int, rows_B: Tensor, mean_BF2C: Tensor, choice: SlotChoice) -> None:
        if choice.copies_BJ is not None:
            sink_BJ2C = self.mean_NRKC[layer][rows_B, : self.params.sinks]
            copies = rearrange(choice.copies_BJ, "b j -> b j 1 1")
            self.mean_NRKC[layer][rows_B, : self.params.sinks] = torch.where(
                copies, mean_BF2C, sink_BJ2C
            )
        self.mean_NRKC[layer][rows_B[:, None], choice.slots_BF] = mean_BF2C


def _mean(x_BFSHD: Tensor) -> Tensor:
    return reduce(x_BFSHD.float(), "b f s h d -> b f (h d)", "mean")


def _first_least(x_BJ: Tensor) -> Tensor:
    """Index of the least, the first one on a tie (argmin promises no order)."""
    index_J = torch.arange(x_BJ.shape[1], device=x_BJ.device)
    least_B1 = x_BJ.amin(dim=1, keepdim=True)
    return torch.where(x_BJ == least_B1, index_J, x_BJ.shape[1]).amin(dim=1)
