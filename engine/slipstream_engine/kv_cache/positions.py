"""The position of a chunk in its cache row, computed from the number of frames before it.

Nothing here is state. Position, length and (while a row fills) the slot of a chunk follow from how
many latent frames came before it since the cache was last empty (the epoch), so the host knows
them without reading anything from the device.

B batch, F latent frames of a chunk, K slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slipstream_engine.config import CacheParams, Positions

# in place of a slot: where sinks adapt, `EvictionPolicy.select_slots` finds it in a full row
CHOSEN_BY_EVICTION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePosition:
    """One chunk's position, as the host computes it.

    Args:
        start: temporal position of its first frame; with relative positions the frame's number in
            the epoch, which only orders it.
        frames: latent frames in the chunk.
        slot: the first slot it is written to; once the row is full `CHOSEN_BY_EVICTION`, if sinks
            adapt, else the ring's next.
        length: slots in use after it is written; it attends to all of them.
    """

    start: int
    frames: int
    slot: int
    length: int


def position_of(params: CacheParams, *, past_frames: int, frames: int) -> CachePosition:
    """The position of the chunk that comes after `past_frames` latent frames of its epoch.

    Raises:
        ValueError: if a chunk of several frames does not fit in the slots still empty: eviction
            makes room for one frame at a time.
    """
    is_filling = past_frames + frames <= params.slots
    if frames > 1 and not is_filling:
        raise ValueError(
            f"a chunk of {frames} latent frames after {past_frames} does not fit in "
            f"{params.slots} slots, send it frame by frame"
        )
    return CachePosition(
        start=_temporal_position(params, past_frames),
        frames=frames,
        slot=past_frames if is_filling else _evicted_slot(params, past_frames),
        length=min(past_frames + frames, params.slots),
    )


def _evicted_slot(params: CacheParams, past_frames: int) -> int:
    """What the frame after `past_frames` overwrites in a full row."""
    if params.adapts:
        return CHOSEN_BY_EVICTION
    return params.pinned_slots + (past_frames - params.slots) % params.ring_slots


def _temporal_position(params: CacheParams, past_frames: int) -> int:
    """Counts up, and from `refresh_frames` goes back to the window's end (`spec/02` section 7)."""
    if params.positions is Positions.RELATIVE or past_frames < params.refresh_frames:
        return past_frames
    window_end = params.slots - 1
    period = params.refresh_frames - window_end
    return window_end + (past_frames - params.refresh_frames) % period


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchPositions:
    """The positions of a batch of chunks, as the device reads them.

    Args:
        frames_BF: temporal positions, int64.
        slots_BF: slots to write, or `CHOSEN_BY_EVICTION`, int64.
        length: slots the longest row attends to.
        mask_BK: bool, which of the first `length` slots each row attends to; None for all.
    """

    frames_BF: Tensor
    slots_BF: Tensor
    length: int
    mask_BK: Tensor | None


def to_device(positions: Sequence[CachePosition], device: torch.device) -> BatchPositions:
    """Send the positions of chunks of equally many frames to the device, without waiting."""
    frames = positions[0].frames
    assert all(p.frames == frames for p in positions), "a batch holds chunks of one length"
    length = max(p.length for p in positions)
    table = torch.tensor(
        [[*_count_up(p.start, frames), *_count_up(p.slot, frames), p.length] for p in positions],
        dtype=torch.int64,
        pin_memory=device.type == "cuda",
    ).to(device, non_blocking=True)
    frames_BF, slots_BF, length_B1 = table.split([frames, frames, 1], dim=1)
    is_even = all(p.length == length for p in positions)
    mask_BK = None if is_even else torch.arange(length, device=device) < length_B1
    return BatchPositions(frames_BF=frames_BF, slots_BF=slots_BF, length=length, mask_BK=mask_BK)


def _count_up(first: int, count: int) -> list[int]:
    return [first if first == CHOSEN_BY_EVICTION else first + i for i in range(count)]
