"""The memory of all streams, in lanes; a stream has one lane while it is open.

Cache rows are allocated at once, a codec's state when its lane is first used. A released lane is
emptied, but its memory keeps its addresses: graphs recorded on it serve its next stream.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from slipstream_engine.codec.protocol import Codec
from slipstream_engine.diffusion.cuda_graphs import Compiler, GraphRunner
from slipstream_engine.diffusion.state import StaticConditioning
from slipstream_engine.diffusion.step_cache import StepCache
from slipstream_engine.kv_cache.rolling_cache import RollingCache

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaneMemory(Generic[CodecStateT]):
    """One lane's memory.

    Args:
        number: of the lane.
        first_row: which row of the pool the lane's first one is.
        step_cache: the lane's rows, on the pool's memory.
        codec: the codec's state.
        static_conditioning: the prompt's conditioning, where graphs read it.
        runner: holds the graphs recorded on this memory.
    """

    number: int
    first_row: int
    step_cache: StepCache
    codec: CodecStateT
    static_conditioning: StaticConditioning
    runner: GraphRunner


class LanePool(Generic[CodecStateT]):
    """Acquires and releases lanes; a released lane holds nothing of its last stream.

    Args:
        cache: the cache rows of all lanes.
        lanes: how many there are.
        codec: creates and resets its state of each lane.
        compiler: decides whether graphs are recorded.
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
        self._released: list[LaneMemory[CodecStateT]] = []

    @property
    def has_free_lane(self) -> bool:
        return bool(self._released or self._unused)

    @property
    def next_is_new(self) -> bool:
        """Whether the next lane was never used, so that its stream will allocate memory."""
        return not self._released

    def acquire(self) -> LaneMemory[CodecStateT]:
        """A free lane, one that was used before if possible; check `has_free_lane` first."""
        if self._released:
            return self._released.pop()
        lane = self._make(self._unused[0])
        del self._unused[0]
        return lane

    @torch.inference_mode()
    def release(self, lane: LaneMemory[CodecStateT]) -> None:
        """Empty a lane, for the next stream."""
        lane.step_cache.reset()
        self._codec.reset(lane.codec)
        lane.static_conditioning.clear()
        self._released.append(lane)

    def _make(self, number: int) -> LaneMemory[CodecStateT]:
        first = number * self._rows
        return LaneMemory(
            number=number,
            first_row=first,
            step_cache=StepCache(self.cache.rows(first, first + self._rows)),
            codec=self._codec.fresh_state(),
            static_conditioning=StaticConditioning(),
            runner=GraphRunner(self._compiler),
        )
