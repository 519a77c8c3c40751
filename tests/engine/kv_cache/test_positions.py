"""kv_cache/positions.py: where a chunk stands follows from the number of frames before it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.config import CacheParams, Pinning, Positions
from slipstream_engine.kv_cache.positions import CHOSEN_BY_EVICTION, position_of

REFERENCE = CacheParams(slots=6, sinks=3)


def test_the_first_chunks_of_the_reference() -> None:
    """Chunk 0 takes slots 0 and 1, later ones the next; from chunk 5 on the ring turns."""
    positions = [position_of(REFERENCE, past_frames=0, frames=2)]
    positions += [position_of(REFERENCE, past_frames=past, frames=1) for past in range(2, 8)]
    assert [s.slot for s in positions] == [0, 2, 3, 4, 5, 3, 4]
    assert [s.length for s in positions] == [2, 3, 4, 5, 6, 6, 6]
    assert [s.start for s in positions] == [0, 2, 3, 4, 5, 6, 7]


def test_where_sinks_adapt_the_device_chooses() -> None:
    """A full row whose sinks adapt takes its slot from the eviction policy, not from the host."""
    adaptive = replace(REFERENCE, sink_threshold=0.2)
    slots = [position_of(adaptive, past_frames=past, frames=1).slot for past in (5, 6, 7)]
    assert slots == [5, CHOSEN_BY_EVICTION, CHOSEN_BY_EVICTION]


def test_positions_go_back_at_the_refresh() -> None:
    """At frame 50 the position is the window's last, and again every 45 frames."""
    starts = [position_of(REFERENCE, past_frames=past, frames=1).start for past in range(48, 97)]
    assert starts == [48, 49, *range(5, 50), 5, 6]


@given(st.integers(0, 10**7), st.integers(4, 30), st.integers(0, 50))
def test_positions_stay_inside_the_table(past: int, slots: int, more: int) -> None:
    """However long a stream runs, its positions stay below the refresh."""
    params = CacheParams(slots=slots, sinks=1, refresh_frames=slots + more)
    assert 0 <= position_of(params, past_frames=past, frames=1).start < slots + more


@pytest.mark.parametrize(
    ("slots", "sinks", "pinning", "pinned"),
    [
        (6, 3, Pinning.REFERENCE, 3),
        (5, 2, Pinning.REFERENCE, 3),
        (21, 0, Pinning.REFERENCE, 3),
        (8, 4, Pinning.REFERENCE, 4),
        (4, 1, Pinning.SINKS, 1),
    ],
)
def test_pinned_prefix(slots: int, sinks: int, pinning: Pinning, pinned: int) -> None:
    """The reference pins max(sinks, 3) slots; plain sinks pin themselves."""
    params = CacheParams(slots=slots, sinks=sinks, pinning=pinning)
    assert (params.pinned_slots, params.ring_slots) == (pinned, slots - pinned)


def test_limits_are_refused() -> None:
    """No ring, a refresh before the row is full, and a late chunk of several frames are errors."""
    with pytest.raises(ValueError, match="3 slots with 1 sinks pins 3"):
        CacheParams(slots=3, sinks=1)
    with pytest.raises(ValueError, match="refresh_frames is 5, it must be at least 6 slots"):
        CacheParams(slots=6, sinks=3, refresh_frames=5)
    with pytest.raises(
        ValueError, match="a chunk of 2 latent frames after 5 does not fit in 6 slots"
    ):
        position_of(REFERENCE, past_frames=5, frames=2)
    with pytest.raises(ValueError, match="a chunk of 7 latent frames after 0"):
        position_of(REFERENCE, past_frames=0, frames=7)


def test_relative_positions_only_count() -> None:
    """With relative positions a frame's number grows for ever; the cache makes it an age."""
    params = CacheParams(slots=6, sinks=3, positions=Positions.RELATIVE)
    assert position_of(params, past_frames=10**9, frames=1).start == 10**9
