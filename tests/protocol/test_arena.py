"""The arena: fixed slots with one owner at a time, on both kinds of memory."""

import os

import numpy as np
import pytest
from slipstream_protocol.arena import Arena, Layout, Slots
from slipstream_protocol.frames import Geometry

LAYOUT = Layout(
    geometry=Geometry(width_px=16, height_px=8, first_chunk_frames=5, chunk_frames=4),
    lanes=2,
    in_slots=1,
    out_slots=2,
)


@pytest.mark.parametrize("anonymous", [True, False])
def test_places_do_not_overlap(anonymous: bool) -> None:
    """every slot of every lane is its own memory."""
    arena = Arena.create(LAYOUT, anonymous=anonymous)
    places = [arena.input(lane, 0) for lane in range(2)]
    places += [arena.output(lane, slot) for lane in range(2) for slot in range(2)]
    for number, place in enumerate(places):
        place[:] = number + 1
    assert [int(place.min()) for place in places] == [1, 2, 3, 4, 5, 6]
    assert [int(place.max()) for place in places] == [1, 2, 3, 4, 5, 6]
    arena.close()


@pytest.mark.parametrize("anonymous", [True, False])
def test_two_mappings_are_one_memory(anonymous: bool) -> None:
    """what one side writes the other reads, and the memory outlives the side that created it."""
    arena = Arena.create(LAYOUT, anonymous=anonymous)
    attached = Arena(os.dup(arena.descriptor), LAYOUT)
    arena.output(1, 1)[:] = 77
    arena.close()
    assert np.all(attached.output(1, 1) == 77)
    attached.close()


def test_too_little_memory_is_refused() -> None:
    """a layout that does not fit its memory is an error, not a fault later."""
    small = Layout(geometry=LAYOUT.geometry, lanes=1, in_slots=1, out_slots=1)
    arena = Arena.create(small)
    with pytest.raises(ValueError, match=r"shared memory is \d+ bytes, the layout needs"):
        Arena(arena.descriptor, LAYOUT)
    arena.close()


@pytest.mark.parametrize(("lane", "slot"), [(2, 0), (-1, 0), (0, 1), (0, -1)])
def test_there_is_no_place_beyond_the_layout(lane: int, slot: int) -> None:
    """a wrong lane or slot never reaches a neighbour's memory."""
    arena = Arena.create(LAYOUT)
    with pytest.raises(IndexError):
        arena.input(lane, slot)
    arena.close()


def test_slots_come_out_in_the_order_they_came_back() -> None:
    """the slot free the longest is next, and none is handed out twice."""
    slots = Slots(3, owned=True)
    assert [slots.take() for _ in range(4)] == [0, 1, 2, None]
    slots.give(2)
    slots.give(0)
    assert [slots.take(), slots.take(), slots.take()] == [2, 0, None]


@pytest.mark.parametrize("slot", [-1, 0, 3])
def test_a_slot_that_is_here_cannot_come_back(slot: int) -> None:
    """two owners of one slot are found at once."""
    slots = Slots(3, owned=True)
    with pytest.raises(ValueError, match=f"slot {slot} came back"):
        slots.give(slot)
