"""The memory of all streams, in lanes; a stream has one lane while it is open.

Cache rows are allocated at once, for the largest frames, a codec's state when its lane is first
used. A released lane is emptied, but its memory keeps its addresses: graphs recorded on it serve
its next stream. Each size that a lane is used at has another state and other graphs; those of sizes
that are to be kept wait, emptied, until the lane comes back to them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from slipstream_protocol.frames import FrameSize

from slipstream_engine.codec.protocol import Codec
from slipstream_engine.diffusion.cuda_graphs import GraphPolicy, GraphRunner
from slipstream_engine.diffusion.state import StaticConditioning
from slipstream_engine.diffusion.step_cache import StepCache
from slipstream_engine.kv_cache.rolling_cache import RollingCache

CodecStateT = TypeVar("CodecStateT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeMemory(Generic[CodecStateT]):
    """What a lane has for frames of one size; see `LaneMemory`."""

    step_cache: StepCache
    codec: CodecStateT
    runner: GraphRunner


@dataclass(slots=True, kw_only=True, eq=False)
class LaneMemory(Generic[CodecStateT]):
    """One lane's memory.

    Args:
        number: of the lane.
        size: of its stream's frames.
        first_row: which row of the pool the lane's first one is.
        step_cache: the lane's rows, on the pool's memory.
        codec: the codec's state.
        static_conditioning: the prompt's conditioning, where graphs read it.
        runner: holds the graphs recorded on this memory.
        others: what it keeps for other sizes, empty.
    """

    number: int
    size: FrameSize
    first_row: int
    step_cache: StepCache
    codec: CodecStateT
    static_conditioning: StaticConditioning
    runner: GraphRunner
    others: dict[FrameSize, SizeMemory[CodecStateT]] = field(default_factory=dict)

    def has(self, size: FrameSize) -> bool:
        """Whether it has been used for frames of that size, and kept what it has for them."""
        return size == self.size or size in self.others


class LanePool(Generic[CodecStateT]):
    """Acquires and releases lanes; a released lane holds nothing of its last stream.

    Args:
        cache: the cache rows of all lanes.
        lanes: how many there are.
        codec: creates and resets its state of each lane.
        graphs: decides whether graphs are recorded.
        frame_tokens: tokens of a latent frame, by the size of frames.
        kept_sizes: of which a lane keeps state and graphs while it is used for another.
    """

    def __init__(
        self,
        cache: RollingCache,
        codec: Codec[CodecStateT],
        graphs: GraphPolicy,
        frame_tokens: Mapping[FrameSize, int],
        *,
        lanes: int,
        kept_sizes: Collection[FrameSize] = (),
    ) -> None:
        self._kept_sizes = frozenset(kept_sizes)
        self.cache = cache
        self.lanes = lanes
        self._codec = codec
        self._graphs = graphs
        self._frame_tokens = frame_tokens
        self._rows = cache.row_count // lanes
        self._unused = list(range(lanes))
        self._made: list[LaneMemory[CodecStateT]] = []
        self._released: list[LaneMemory[CodecStateT]] = []

    @property
    def has_free_lane(self) -> bool:
        return bool(self._released or self._unused)

    @property
    def next_is_new(self) -> bool:
        """Whether the next lane was never used, so that its stream will allocate memory."""
        return not self._released

    def acquire(self, size: FrameSize) -> LaneMemory[CodecStateT]:
        """A free lane for frames of that size, one that has it if possible, or else one that was
        used before, of these the one that was used last; check `has_free_lane` first."""
        if self._released:
            alike = [at for at, lane in enumerate(self._released) if lane.has(size)]
            lane = self._released.pop(alike[-1] if alike else -1)
            self.resize(lane, size)
            return lane
        lane = self._make(self._unused[0], size)
        del self._unused[0]
        self._made.append(lane)
        return lane

    @torch.inference_mode()
    def hold_layers(self, layers: Sequence[int | None]) -> None:
        """Hold these layers of the cache from now on, see `RollingCache.hold_layers`.

        All lanes keep what they hold of them, at other addresses, so their graphs are forgotten.
        """
        self.cache.hold_layers(layers)
        for lane in self._made:
            lane.runner = GraphRunner(self._graphs)
            lane.others.clear()
            lane.static_conditioning.forget()
            lane.step_cache.cache = self._rows_of(lane.first_row, lane.size)

    @torch.inference_mode()
    def resize(self, lane: LaneMemory[CodecStateT], size: FrameSize) -> None:
        """Empty a lane, for frames of that size from now on; one that has it stays as it is."""
        if size == lane.size:
            return
        lane.step_cache.reset()  # larger frames lie where smaller ones do not
        if lane.size in self._kept_sizes:
            self._codec.reset(lane.codec)
            lane.others[lane.size] = SizeMemory(
                step_cache=lane.step_cache, codec=lane.codec, runner=lane.runner
            )
        memory = lane.others.pop(size, None) or SizeMemory(
            step_cache=self._step_cache(lane.first_row, size),
            codec=self._codec.fresh_state(),
            runner=GraphRunner(self._graphs),  # graphs of the state before go with it
        )
        lane.step_cache, lane.codec, lane.runner = memory.step_cache, memory.codec, memory.runner
        lane.step_cache.reset()
        lane.size = size

    @torch.inference_mode()
    def release(self, lane: LaneMemory[CodecStateT]) -> None:
        """Empty a lane, for the next stream."""
        lane.step_cache.reset()
        self._codec.reset(lane.codec)
        lane.static_conditioning.clear()
        self._released.append(lane)

    def _make(self, number: int, size: FrameSize) -> LaneMemory[CodecStateT]:
        first = number * self._rows
        return LaneMemory(
            number=number,
            size=size,
            first_row=first,
            step_cache=self._step_cache(first, size),
            codec=self._codec.fresh_state(),
            static_conditioning=StaticConditioning(),
            runner=GraphRunner(self._graphs),
        )

    def _step_cache(self, first: int, size: FrameSize) -> StepCache:
        return StepCache(self._rows_of(first, size))

    def _rows_of(self, first: int, size: FrameSize) -> RollingCache:
        cache = self.cache.of_frames(self._frame_tokens[size])
        return cache.rows(first, first + self._rows)
