"""The cache rows of every stream that may be open, allocated once, lent by the lane."""

from dataclasses import dataclass

import torch

from slipstream_engine.cache import RollingCache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CacheLane:
    """One stream's rows.

    Args:
        number: of the lane.
        first_row: which row of the pool its first one is.
        cache: its rows as a cache of their own, on the pool's memory.
    """

    number: int
    first_row: int
    cache: RollingCache


class CachePool:
    """Lends lanes; a lane comes back empty, so that nothing of a stream outlives it.

    Args:
        cache: all rows.
        lanes: streams to share them.
    """

    def __init__(self, cache: RollingCache, *, lanes: int) -> None:
        self.cache = cache
        self.lanes = lanes
        self._rows = cache.row_count // lanes
        self._free = list(range(lanes))

    @property
    def has_room(self) -> bool:
        return bool(self._free)

    def take(self) -> CacheLane:
        """The lane free the longest; ask `has_room` first."""
        number = self._free.pop(0)
        first = number * self._rows
        return CacheLane(
            number=number, first_row=first, cache=self.cache.rows(first, first + self._rows)
        )

    @torch.inference_mode()
    def give(self, lane: CacheLane) -> None:
        """Have a lane back."""
        lane.cache.reset()
        self._free.append(lane.number)
