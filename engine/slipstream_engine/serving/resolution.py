"""Which of a preset's sizes to serve: the largest at which this machine keeps up. Pure."""

from collections.abc import Sequence

from slipstream_protocol.clock import NS_PER_S

# Of the time that a chunk's frames last, its making alone may take this much: the rest is for the
# call beside it, and for a machine that is not as idle later as when it was measured.
SHARE = 0.7


class ResolutionChoice:
    """Goes down a list of sizes until one is fast enough; the last one is taken as it is.

    One stream is what has to keep up: whether a second one is let in, admission decides by what it
    measures.

    Args:
        sizes_px: width and height of each, the largest first.
        fps: the frame rate to keep.
        chunk_frames: frames made at once.

    Raises:
        ValueError: if there is no size.
    """

    def __init__(
        self, sizes_px: Sequence[tuple[int, int]], *, fps: float, chunk_frames: int
    ) -> None:
        if not sizes_px:
            raise ValueError("sizes_px is empty, there must be at least one size to choose")
        self._sizes_px = tuple(sizes_px)
        self._needed_fps = fps / SHARE
        self._chunk_frames = chunk_frames
        self._at = 0
        self._made_fps: list[float] = []

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height to try or, once `judge` is content, to serve."""
        return self._sizes_px[self._at]

    def judge(self, chunk_ns: float) -> bool:
        """Whether the present size stays, a chunk of it taking so long; else the next is to try."""
        self._made_fps.append(self._chunk_frames * NS_PER_S / chunk_ns)
        is_last = self._at == len(self._sizes_px) - 1
        stays = is_last or self._made_fps[-1] >= self._needed_fps
        if not stays:
            self._at += 1
        return stays

    @property
    def note(self) -> str:
        """One line on what was chosen and why, for people; once something was measured."""
        chosen, largest = (f"{w}x{h}" for w, h in (self.size_px, self._sizes_px[0]))
        measured = f"this machine makes {self._made_fps[0]:.0f} frames a second"
        enough = f"{self._needed_fps:.0f} leave room for a call"
        if chosen == largest:
            return f"{chosen}, of which {measured} ({enough})"
        return f"{chosen}, since {measured} of {largest} ({enough}; --size {largest} insists)"
