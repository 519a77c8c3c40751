"""A benchmark's input frames, its duration, and its record of a chunk."""

from dataclasses import dataclass

import numpy as np
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.messages import StageTimes

SCENE_CHUNKS = 8
FLAT_DEVIATION = 0.5  # luma levels; frames of a model whose numbers died out have less


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchDuration:
    """How long to measure: both must be reached.

    Args:
        warm_up_chunks: run before measuring, once the cache is full.
        chunks: to measure, of each stream.
    """

    warm_up_chunks: int = 20
    chunks: int = 300
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSample:
    """One measured chunk.

    Args:
        stream: index of its stream.
        done_s: on the clock of `time.perf_counter`.
        took_s: from its frames on the host to its generated frames there.
    """

    stream: int
    done_s: float
    took_s: float
    stages: StageTimes


class Scene:
    """An endless loop of a few chunks: a moving gradient with noise."""

    def __init__(self, geometry: Geometry) -> None:
        rng = np.random.default_rng(0)
        rows, columns = geometry.frame_shape
        ramp = np.add.outer(np.arange(rows), np.arange(columns))
        frames = geometry.first_chunk_frames + SCENE_CHUNKS * geometry.chunk_frames
        self._geometry = geometry
        self._frames_THW: I420 = np.stack(
            [
                ((ramp + 5 * k) % 200 + rng.integers(0, 48, (rows, columns))).astype(np.uint8)
                for k in range(frames)
            ]
        )

    def chunk(self, number: int) -> I420:
        """The frames of a chunk, `[T, H * 3 // 2, W]`."""
        size = self._geometry.frames_of(number)
        first = self._geometry.first_chunk_frames
        start = 0 if number == 0 else first + (number - 1) % SCENE_CHUNKS * size
        return self._frames_THW[start : start + size]


def check_not_flat(frames_THW: I420) -> None:
    """Check that these I420 frames are not of one grey.

    Raises:
        RuntimeError: if they are.
    """
    luma_THW = frames_THW[:, : frames_THW.shape[1] * 2 // 3]
    if luma_THW.std() < FLAT_DEVIATION:
        raise RuntimeError(
            f"the model's pictures deviate by {luma_THW.std():.2f} levels, they must by "
            f"{FLAT_DEVIATION}: with numbers that died out or are none, times mean nothing"
        )
