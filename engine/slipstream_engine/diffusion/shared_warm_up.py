"""Runs passes of every size that streams may share, so that none is slow the first time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from slipstream_protocol.frames import I420, Geometry

from slipstream_engine.diffusion.chunk import LatentChunk
from slipstream_engine.diffusion.stream import DiffusionStream

CodecStateT = TypeVar("CodecStateT")

_RUNS = 2  # the first is eager, the second recorded


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedWarmUp(Generic[CodecStateT]):
    """Warms up the passes that streams with full caches share.

    Args:
        denoise: runs a pass.
        geometry: of the streams' frames.
        most: chunks of the largest pass.
    """

    denoise: Callable[[Sequence[LatentChunk[CodecStateT]]], None]
    geometry: Geometry
    most: int

    def run(self, streams: Sequence[DiffusionStream[CodecStateT]], *, steps: int) -> None:
        """Run each size twice: with these streams at up to `steps` steps each."""
        for size in range(2, min(self.most, len(streams) * steps) + 1):
            for _ in range(_RUNS):
                self._share(streams, size)

    def _share(self, streams: Sequence[DiffusionStream[CodecStateT]], size: int) -> None:
        """One pass of so many chunks, of each stream's as many as it takes, a step apart."""
        under_way = [
            (stream, self._begin(stream, -(-(size - place) // len(streams))))
            for place, stream in enumerate(streams[:size])
        ]
        self.denoise([chunk for _, chunks in under_way for chunk in chunks])
        for stream, chunks in under_way:
            for chunk in chunks:
                while not chunk.is_clean:
                    self.denoise([chunk])
                stream.decode(chunk, self._grey())

    def _begin(
        self, stream: DiffusionStream[CodecStateT], count: int
    ) -> list[LatentChunk[CodecStateT]]:
        """Chunks of a stream, the oldest first, each a step ahead of the next."""
        chunks: list[LatentChunk[CodecStateT]] = []
        for _ in range(count):
            for chunk in chunks:
                self.denoise([chunk])
            chunks.append(stream.encode(self._grey()))
        return chunks

    def _grey(self) -> I420:
        shape = (self.geometry.chunk_frames, *self.geometry.frame_shape)
        return np.full(shape, 128, dtype=np.uint8)
