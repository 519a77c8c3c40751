"""The block of shared memory for pixels between the processes, with a slot for each chunk.

    lane 0                                   lane 1
    +--------+--------+--------+--------+    +--------+---
    | in 0   | in 1   | out 0  | out 1  |    | in 0   | ...        one slot = geometry.slot_bytes
    +--------+--------+--------+--------+    +--------+---

A slot holds a chunk of the largest frames that a stream may have; a chunk of smaller ones lies at
its front, packed. A slot belongs to one side at a time and changes hands by message only
(`messages.py`), so there is no lock and nothing is overwritten while it is read. The block has no
name: it is an anonymous memory file where the kernel has them (Linux), an unlinked temporary file
elsewhere, and exists as long as a process holds it. The engine creates it, since it alone knows the
sizes, and sends its descriptor with `Ready`.

All of it is reserved when it is created. A file that is only given its size gets memory page by
page as it is written, and where there is none left a write is not an error but a SIGBUS, which ends
whichever process has written. So does every access to a file that has become smaller: the size is
sealed where the kernel can do that (Linux), and the server takes no memory without.
"""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from slipstream_protocol.frames import I420, FrameSize, Geometry

_MIB = 1 << 20
_CAN_SEAL = hasattr(fcntl, "F_ADD_SEALS") and hasattr(os, "memfd_create")


class ArenaRefused(Exception):
    """There is not enough shared memory for the arena."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many slots of what size the arena has.

    Args:
        geometry: of a chunk of the largest frames, see `largest_geometry`.

    Raises:
        ValueError: if a count is less than 1.
    """

    geometry: Geometry
    lanes: int
    in_slots: int
    out_slots: int

    def __post_init__(self) -> None:
        for name in ("lanes", "in_slots", "out_slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")

    @property
    def lane_slots(self) -> int:
        return self.in_slots + self.out_slots

    @property
    def total_bytes(self) -> int:
        return self.lanes * self.lane_slots * self.geometry.slot_bytes


class Arena:
    """A mapped arena; both processes use the same class over the same memory.

    Args:
        descriptor: of the shared memory; owned from now on.
        layout: must be the same on both sides.

    Raises:
        ValueError: if the memory is smaller than the layout needs.
    """

    def __init__(self, descriptor: int, layout: Layout) -> None:
        self.descriptor = descriptor
        self.layout = layout
        size = os.fstat(descriptor).st_size
        if size < layout.total_bytes:
            raise ValueError(
                f"shared memory is {size} bytes, the layout needs {layout.total_bytes}; "
                "both sides must use the same layout"
            )
        self._bytes_LSX: I420 = np.frombuffer(
            mmap.mmap(descriptor, layout.total_bytes), dtype=np.uint8
        ).reshape(layout.lanes, layout.lane_slots, layout.geometry.slot_bytes)

    @classmethod
    def create(cls, layout: Layout, *, anonymous: bool = hasattr(os, "memfd_create")) -> "Arena":
        """New memory for `layout`, zeroed.

        Args:
            anonymous: use the kernel's anonymous memory files; else an unlinked temporary file.

        Raises:
            ArenaRefused: if there is not so much memory, or none may be had.
        """
        descriptor = -1
        try:
            if anonymous:
                descriptor = os.memfd_create(
                    "slipstream-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
                )
            else:
                with tempfile.TemporaryFile() as file:
                    descriptor = os.dup(file.fileno())
            _reserve(descriptor, layout.total_bytes)
            if anonymous:
                _seal(descriptor)
            return cls(descriptor, layout)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise ArenaRefused(_refusal(layout, error, anonymous=anonymous)) from error

    def input(self, lane: int, slot: int, size: FrameSize | None = None) -> I420:
        """Input slot `slot` of a lane, `[slot_frames, H * 3 // 2, W]`, in the shared memory.

        Args:
            size: of the frames in it; None for the layout's own.

        Raises:
            ValueError: if a chunk of such frames is larger than a slot.
        """
        return self._view(lane, slot, self.layout.in_slots, 0, size)

    def output(self, lane: int, slot: int, size: FrameSize | None = None) -> I420:
        """Output slot `slot` of a lane, as `input`."""
        return self._view(lane, slot, self.layout.out_slots, self.layout.in_slots, size)

    def close(self) -> None:
        """Close the descriptor; the memory is freed with the last view of it."""
        os.close(self.descriptor)
        self._bytes_LSX = np.empty((0, 0, 0), np.uint8)

    def _view(self, lane: int, slot: int, slots: int, first: int, size: FrameSize | None) -> I420:
        if not 0 <= lane < self.layout.lanes:
            raise IndexError(f"lane is {lane}, the arena has {self.layout.lanes}")
        if not 0 <= slot < slots:
            raise IndexError(f"slot is {slot}, a lane has {slots} in this direction")
        geometry = self.layout.geometry if size is None else self.layout.geometry.at(size)
        if geometry.slot_bytes > self.layout.geometry.slot_bytes:
            raise ValueError(
                f"frames are {geometry.size}, a slot of this arena holds a chunk of "
                f"{self.layout.geometry.size}"
            )
        packed: I420 = self._bytes_LSX[lane, first + slot, : geometry.slot_bytes]
        return packed.reshape(geometry.slot_frames, *geometry.frame_shape)


def largest_geometry(geometry: Geometry, sizes: Iterable[FrameSize]) -> Geometry:
    """That of the largest of its chunks with frames of any of these sizes, or its own."""
    return geometry.at(max((geometry.size, *sizes), key=lambda size: size.pixels))


def _reserve(descriptor: int, size_bytes: int) -> None:
    """Give an empty file its size, and the memory for all of it. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    zeros = bytes(_MIB)
    left_bytes = size_bytes
    while left_bytes:
        left_bytes -= os.write(descriptor, zeros[:left_bytes])


def _seal(descriptor: int) -> None:
    """Keep the size of an anonymous file as it is, whoever holds it. Raises OSError."""
    if _CAN_SEAL:
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def require_sealed(descriptor: int) -> None:
    """Refuse memory that another process could still make smaller, where the kernel can hold it to
    its size.

    Raises:
        ValueError: if it is such memory, or no anonymous file at all.
    """
    if not _CAN_SEAL:
        return
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ValueError(f"its shared memory is no anonymous file: {error.strerror}") from error
    if not seals & fcntl.F_SEAL_SHRINK:
        raise ValueError("its shared memory could be made smaller while it is read; seal its size")


def _refusal(layout: Layout, error: OSError, *, anonymous: bool) -> str:
    kind = "anonymous memory (memfd)" if anonymous else f"a file in {tempfile.gettempdir()}"
    need = f"{layout.total_bytes / _MIB:.1f} MiB"
    return (
        f"{layout.lanes} streams of {layout.geometry.size} need {need} of shared "
        f"memory, all of it when the engine starts, and {kind} does not give it: {error.strerror}; "
        "free memory, raise the limit of the container, or serve fewer or smaller streams "
        "(--max-streams, --size)"
    )


class Slots:
    """The slots that one side owns at the moment, the one that is free the longest first.

    Args:
        count: how many there are.
        owned: whether this side starts with all of them.
    """

    def __init__(self, count: int, *, owned: bool) -> None:
        self._count = count
        self._free = list(range(count)) if owned else []

    def __len__(self) -> int:
        return len(self._free)

    def take(self) -> int | None:
        """Take the slot that has been free the longest; None if there is none."""
        return self._free.pop(0) if self._free else None

    def give(self, slot: int) -> None:
        """Give `slot` to this side.

        Raises:
            ValueError: if there is no such slot, or it is owned already: two owners would overwrite
                each other.
        """
        if not 0 <= slot < self._count or slot in self._free:
            raise ValueError(
                f"slot {slot} came back, of {self._count} these are here: {self._free}"
            )
        self._free.append(slot)
