"""The arena: fixed slots with one owner at a time, on both kinds of memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slipstream_protocol.arena import Arena, ArenaRefused, Layout, Slots, require_sealed
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


@pytest.mark.parametrize("anonymous", [True, False])
def test_all_of_it_is_reserved_at_once(anonymous: bool) -> None:
    """no write can run out of memory later: that would be a SIGBUS."""
    layout = Layout(geometry=LAYOUT.geometry, lanes=64, in_slots=8, out_slots=8)
    arena = Arena.create(layout, anonymous=anonymous)
    assert os.fstat(arena.descriptor).st_blocks * 512 >= layout.total_bytes
    arena.close()


def test_nobody_can_change_its_size_later() -> None:
    """neither side, while the other reads and writes: that would be a SIGBUS, too."""
    arena = Arena.create(LAYOUT)
    for size in (0, LAYOUT.total_bytes - 1, LAYOUT.total_bytes * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.descriptor, size)
    require_sealed(arena.descriptor)
    arena.close()


FULL = """
import os, resource, sys
from slipstream_protocol.arena import Arena, ArenaRefused, Layout
from slipstream_protocol.frames import Geometry
size = Geometry(width_px=640, height_px=480, first_chunk_frames=5, chunk_frames=4)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
before = set(os.listdir("/proc/self/fd"))
for anonymous in (True, False):
    layout = Layout(geometry=size, lanes=3, in_slots=1, out_slots=2)
    try:
        Arena.create(layout, anonymous=anonymous)
    except ArenaRefused as error:
        print(error)
assert set(os.listdir("/proc/self/fd")) == before
"""


def test_memory_that_is_not_to_be_had_is_refused() -> None:
    """with how much is needed, why it is not there, and what to do; no descriptor is left over."""
    ran = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    anonymous, file = ran.stdout.splitlines()
    for line in (anonymous, file):
        assert line.startswith("3 streams of 640x480 need 19.8 MiB of shared memory")
        assert "File too large" in line and "--max-streams" in line
    assert "memfd" in anonymous and "a file in" in file


@pytest.fixture
def full_folder(tmp_path: Path) -> Path:
    """A file system of 1 MiB, mounted for the programs of `in_full_folder` only."""
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", str(tmp_path)], check=False
    )
    if tried.returncode:
        pytest.skip("this machine lets nobody mount a file system of one's own")
    return tmp_path


def test_a_full_file_system_is_refused_at_the_start(full_folder: Path) -> None:
    """in words, where it was a SIGBUS at some later write."""
    write = (
        "import os; from slipstream_protocol.arena import *; "
        "from slipstream_protocol.frames import Geometry; "
        "size = Geometry(width_px=640, height_px=480, first_chunk_frames=5, chunk_frames=4); "
        "arena = Arena.create("
        "Layout(geometry=size, lanes=1, in_slots=1, out_slots=2), anonymous=False); "
        "arena.output(0, 1)[:] = 1"
    )
    mount = f"mount -t tmpfs -o size=1m none {full_folder} && exec "
    ran = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount + '"$@"', "sh", sys.executable, "-c", write],
        env={**os.environ, "TMPDIR": str(full_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No space left on device" in ran.stderr and ArenaRefused.__name__ in ran.stderr


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
