"""The memory of every stream that may be open, lent by the lane.

Cache rows are allocated at once; what a codec carries, when a lane is first lent. A lane comes back
empty, but all of it keeps its place: graphs recorded on it serve whoever has it next.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from slipstream_engine.codec.protocol import Codec
from slipstream_engine.diffusion.cuda_graphs import Compiler, GraphRunner
from slipstream_engine.diffusion.state import StaticConditioning
from slipstream_engine.kv_cache.rolling_cache import RollingCache

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaneMemory(Generic[CodecStateT]):
    """One stream's.

    Args:
        number: of the lane.
        first_row: which row of the pool its first one is.
        cache: its rows as a cache of their own, on the pool's memory.
        codec: what the codec carries.
        resident: where graphs read the prompt.
        runner: has the graphs recorded on this memory.
    """

    number: int
    first_row: int
    cache: RollingCache
    codec: CodecStateT
    resident: StaticConditioning
    runner: GraphRunner


class LanePool(Generic[CodecStateT]):
    """Lends lanes; nothing of a stream outlives it.

    Args:
        cache: all rows.
        lanes: streams to share them.
        codec: makes what a lane carries of it, and empties it.
        compiler: says whether graphs are recorded.
    """

    def __init__(
        self, cache: RollingCache, codec: Codec[CodecStateT], compiler: Compiler, *, lanes: int
    ) -> None:
        self.cache = cache
        self.lanes = lanes
        self._codec = codec
        self._compiler = compiler
        self._rows = cache.row_count // lanes
        self._unused = list(range(lanes))
        self._free: list[LaneMemory[CodecStateT]] = []

    @property
    def has_room(self) -> bool:
        return bool(self._free or self._unused)

    @property
    def needs_memory(self) -> bool:
        """Whether the next lane would be one that was never lent."""
        return not self._free

    def take(self) -> LaneMemory[CodecStateT]:
        """A lane, one that was used before if there is one; ask `has_room` first."""
        if self._free:
            return self._free.pop()
        lane = self._make(self._unused[0])
        del self._unused[0]
        return lane

    @torch.inference_mode()
    def give(self, lane: LaneMemory[CodecStateT]) -> None:
        """Have a lane back."""
        lane.cache.reset()
        self._codec.forget(lane.codec)
        lane.resident.forget()
        self._free.append(lane)

    def _make(self, number: int) -> LaneMemory[CodecStateT]:
        first = number * self._rows
        return LaneMemory(
            number=number,
            first_row=first,
            cache=self.cache.rows(first, first + self._rows),
            codec=self._codec.fresh_state(),
            resident=StaticConditioning(),
            runner=GraphRunner(self._compiler),
        )
