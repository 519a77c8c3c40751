"""Warming up: grey chunks through throw-away streams, so that no viewer gets the slow ones.

The first chunks of a process are slow: libraries choose kernels, allocators grow, graphs are
recorded.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from slipstream_protocol.frames import FrameSize, Geometry
from slipstream_protocol.parameters import Parameters

from slipstream_engine.diffusion.cuda_graphs import GraphPolicy
from slipstream_engine.diffusion.memory_admission import MemoryAdmission
from slipstream_engine.diffusion.shared_warm_up import SharedWarmUp
from slipstream_engine.diffusion.stream import DiffusionStream
from slipstream_engine.errors import AdmissionError

logger = logging.getLogger(__name__)

CodecStateT = TypeVar("CodecStateT")

EAGER_CHUNKS = 3  # eager code has little to prepare


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WarmUp(Generic[CodecStateT]):
    """Warms a pipeline's lanes up.

    Args:
        open_stream: opens one with the preset's defaults.
        geometry: of its frames.
        lanes: streams the pipeline has room for.
        cache_slots: latent frames in a full cache row.
        graphs: decides whether they are recorded.
        admission: learns how much memory a stream takes.
        shared: warms up the passes of several streams.
        steps: of a new stream.
        other_sizes: that a stream's ladder may take it to, of which lanes keep their graphs.
    """

    open_stream: Callable[[], DiffusionStream[CodecStateT]]
    geometry: Geometry
    lanes: int
    cache_slots: int
    graphs: GraphPolicy
    admission: MemoryAdmission
    shared: SharedWarmUp[CodecStateT]
    steps: int
    other_sizes: Sequence[FrameSize] = ()

    def run(self) -> None:
        """Warm up; if that fails with graphs, go on without them."""
        try:
            self._warm_lanes()
        except Exception as error:  # whatever a recorder raises, eager code may still run
            if self.graphs.recorder is None:
                raise
            logger.exception("the model does not run from graphs")
            self.graphs.give_up(error)
            self._warm_lanes()

    def _warm_lanes(self) -> None:
        """Graphs are recorded for each lane, then for the passes that lanes share; for anything
        else one lane is enough."""
        lanes = self.lanes if self.graphs.recorder is not None else 1
        streams: list[DiffusionStream[CodecStateT]] = []
        with ExitStack() as opened:
            for lane in range(lanes):
                try:
                    with self.admission.measuring():
                        streams.append(opened.enter_context(closing(self.open_stream())))
                        self._warm(streams[-1])
                except AdmissionError as error:
                    if not lane:
                        raise
                    logger.warning("only %s of %s streams are warm: %s", lane, lanes, error)
                    break
            if self.graphs.recorder is not None:
                for sharing in (streams[:1], streams):  # alone a stream has but one prompt
                    self.shared.run(sharing, steps=self.steps)

    def _warm(self, stream: DiffusionStream[CodecStateT]) -> None:
        """Run every shape of chunk that a stream can meet; it ends at the size it began with.

        Each number of cached latent frames is a shape, and so is an empty cache: that of a stream's
        first chunk, and that of the first chunk after a reset, which is shorter. A full cache comes
        at least three times: a graph's function runs once before it is recorded.
        """
        if self.graphs.recorder is None:
            self._run_blank(stream, first=0, count=EAGER_CHUNKS)
            return
        until_full = self.cache_slots + 1
        for size in (*self.other_sizes, self.geometry.size):
            stream.resize(size)
            self._run_blank(stream, first=0, count=until_full)
            stream.apply(Parameters(reset_cache=True))
            self._run_blank(stream, first=until_full, count=until_full)

    def _run_blank(self, stream: DiffusionStream[CodecStateT], *, first: int, count: int) -> None:
        """Run grey chunks of the stream's size, of which number `first` is the first."""
        geometry = self.geometry.at(stream.host.size)
        for chunk in range(first, first + count):
            shape = (geometry.frames_of(chunk), *geometry.frame_shape)
            frames = np.full(shape, 128, dtype=np.uint8)
            stream.step(frames, np.empty_like(frames))
