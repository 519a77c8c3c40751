"""Where a chunk stands in its cache row: pure arithmetic on the number of frames before it.

Nothing here is state. Position, length and (while a row fills) the slot of a chunk follow from how
many latent frames of the epoch came before it, so the host always knows them and never asks the
device.

B batch, F latent frames of a chunk, K slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slipstream_engine.config import CacheParams, Positions

RING_CHOOSES = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePosition:
    """One chunk's place.

    Args:
        start: temporal position of its first frame; with relative positions its number, which only
            orders it.
        frames: latent frames in it.
        slot: the first slot it is written to, or `RING_CHOOSES` once the row is full.
        length: slots in use after it is written; it attends to all of them.
    """

    start: int
    frames: int
    slot: int
    length: int


def position_of(params: CacheParams, *, past_frames: int, frames: int) -> CachePosition:
    """Place the chunk that comes after `past_frames` latent frames of its epoch.

    Raises:
        ValueError: if a chunk of several frames does not fit beside what is there: a ring turns
            one frame at a time.
    """
    is_filling = past_frames + frames <= params.slots
    if frames > 1 and not is_filling:
        raise ValueError(
            f"a chunk of {frames} latent frames after {past_frames} does not fit in "
            f"{params.slots} slots, send it frame by frame"
        )
    return CachePosition(
        start=_position(params, past_frames),
        frames=frames,
        slot=past_frames if is_filling else RING_CHOOSES,
        length=min(past_frames + frames, params.slots),
    )


def _position(params: CacheParams, past_frames: int) -> int:
    """At `refresh_frames` go back to the end of the window (`spec/02` section 7)."""
    if params.positions is Positions.RELATIVE or past_frames < params.refresh_frames:
        return past_frames
    window_end = params.slots - 1
    period = params.refresh_frames - window_end
    return window_end + (past_frames - params.refresh_frames) % period


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchPositions:
    """The spans of a batch, as the device reads them.

    Args:
        frames_BF: temporal positions, int64.
        slots_BF: slots to write, or `RING_CHOOSES`, int64.
        length: slots the longest row attends to.
        seen_BK: which of the first `length` slots each row attends to; None where every row sees
            all of them.
    """

    frames_BF: Tensor
    slots_BF: Tensor
    length: int
    seen_BK: Tensor | None


def to_device(spans: Sequence[CachePosition], device: torch.device) -> BatchPositions:
    """Send the spans of a batch, equally many frames each, to the device without waiting."""
    frames = spans[0].frames
    assert all(s.frames == frames for s in spans), "a batch holds chunks of one length"
    length = max(s.length for s in spans)
    table = torch.tensor(
        [[*_run(s.start, frames), *_run(s.slot, frames), s.length] for s in spans],
        dtype=torch.int64,
        pin_memory=device.type == "cuda",
    ).to(device, non_blocking=True)
    frames_BF, slots_BF, length_B1 = table.split([frames, frames, 1], dim=1)
    is_even = all(s.length == length for s in spans)
    seen_BK = None if is_even else torch.arange(length, device=device) < length_B1
    return BatchPositions(frames_BF=frames_BF, slots_BF=slots_BF, length=length, seen_BK=seen_BK)


def _run(first: int, count: int) -> list[int]:
    return [first if first == RING_CHOOSES else first + i for i in range(count)]
