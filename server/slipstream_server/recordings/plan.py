"""Where a recording goes, and how far it may. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPlan:
    """What is decided before a recording begins.

    Args:
        path_of: the file of a part, by its number, from 1 on.
        has_sound: whether there may be some.
        max_s: the longest that it may be.
        free_mib: that must stay free on the disk.
    """

    path_of: Callable[[int], Path]
    has_sound: bool
    max_s: float
    free_mib: int

    def of_input(self) -> "RecordingPlan":
        """The same for the input of what it records, in files beside."""
        path_of = self.path_of
        return replace(
            self, path_of=lambda part: path_of(part).with_stem(f"{path_of(part).stem}-input")
        )
