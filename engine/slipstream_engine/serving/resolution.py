"""Chooses where streams begin: the largest of the sizes at which the machine keeps up. Pure."""

from collections.abc import Sequence

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import FrameSize

# Share of the duration of a chunk's frames that generating it may take: the rest is for the call
# beside it, and for a machine that is not as idle later as when it was measured.
SHARE = 0.7


class ResolutionChoice:
    """Goes down a list of sizes until one is fast enough; the last one is taken as it is.

    One stream has to keep up; whether a second one is admitted is decided by its load, later. So is
    whether a stream goes on to a larger size, as on a machine that was busy when it was measured.

    Args:
        sizes: the largest first.
        fps: the frame rate to keep.
        chunk_frames: frames of a chunk.

    Raises:
        ValueError: if there is no size.
    """

    def __init__(self, sizes: Sequence[FrameSize], *, fps: float, chunk_frames: int) -> None:
        if not sizes:
            raise ValueError("sizes is empty, there must be at least one size to choose")
        self._sizes = tuple(sizes)
        self._needed_fps = fps / SHARE
        self._chunk_frames = chunk_frames
        self._index = 0
        self._measured_fps: list[float] = []

    @property
    def size(self) -> FrameSize:
        """To try or, once `judge` has returned True, to begin with."""
        return self._sizes[self._index]

    def judge(self, chunk_ns: float) -> bool:
        """Whether the present size is chosen, a chunk taking so long; else the next is tried."""
        self._measured_fps.append(self._chunk_frames * NS_PER_S / chunk_ns)
        is_last = self._index == len(self._sizes) - 1
        is_chosen = is_last or self._measured_fps[-1] >= self._needed_fps
        if not is_chosen:
            self._index += 1
        return is_chosen

    @property
    def note(self) -> str:
        """One line on what was chosen and why, for people; only after a call of `judge`."""
        chosen, largest = self.size, self._sizes[0]
        measured = f"this machine makes {self._measured_fps[0]:.0f} frames a second"
        enough = f"{self._needed_fps:.0f} leave room for a call"
        if chosen == largest:
            return f"{chosen}, of which {measured} ({enough})"
        return (
            f"{chosen} to begin with, since {measured} of {largest} ({enough}; --size {largest} "
            "insists)"
        )
