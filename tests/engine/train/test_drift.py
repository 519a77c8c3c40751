"""train/drift.py: a long stream repeats one clip, and its quality is reported round by round."""

import mmap

import numpy as np
import pytest
from slipstream_engine.train.scenes import Clip
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.parameters import Parameters, Prompt

pytest.importorskip("cv2", reason="the train extra is not installed")

from slipstream_engine.train import drift


class Pale:
    """A pipeline whose stream gives the camera's picture, each chunk a little brighter."""

    geometry = Geometry(width_px=32, height_px=16, first_chunk_frames=5, chunk_frames=4)

    def __init__(self, *, levels_per_chunk: float) -> None:
        self._levels_per_chunk = levels_per_chunk
        self.taken: list[I420] = []
        self.closed = 0

    prompts = (Prompt("pale"),)

    def open(self, parameters: Parameters) -> "Pale":
        return self

    def step(self, frames_THW: I420, out_THW: I420) -> None:
        added = self._levels_per_chunk * len(self.taken)
        self.taken.append(frames_THW.copy())
        rng = np.random.default_rng(len(self.taken))  # dithered, so that parts of a level count
        generated = frames_THW + rng.uniform(0, 1, frames_THW.shape) - 0.5
        generated[:, : self.geometry.height_px] += added  # the luma's rows
        out_THW[:] = np.clip(np.rint(generated), 0, 255)

    def close(self) -> None:
        self.closed += 1


def clip() -> Clip:
    """Grey that brightens over the clip, and a brighter half."""
    frames = np.linspace(0.3, 0.5, drift.LOOP_FRAMES, dtype=np.float32)
    generated = (
        np.repeat(frames[:, None, None, None], 16, axis=1).repeat(32, axis=2).repeat(3, axis=3)
    )
    generated[:, :, 16:] += 0.2
    return generated


def measured(pipeline: Pale, *, chunks: int = 120) -> drift.Drift:
    return drift.measure(pipeline, clip(), Parameters(prompt="pale"), chunks=chunks)  # type: ignore[arg-type]  # as much of a pipeline as is used


def test_a_stream_that_stays_does_not_drift() -> None:
    """sensor noise alone moves nothing, and the figures are the picture's own."""
    found = measured(Pale(levels_per_chunk=0))
    assert all(course.is_noise for course in found.courses.values())
    assert found.courses["red"].first == pytest.approx(127.5, abs=2)  # 0.4 and 0.6 of 255
    assert found.courses["contrast"].first == pytest.approx(25.5, abs=2)
    assert found.prompt == "pale" and found.chunks == 120
    assert found.memory.start_mib > 0


def test_a_stream_that_pales_does() -> None:
    """a hundredth of a level a chunk is ten in a thousand; likeness to the first round falls."""
    found = measured(Pale(levels_per_chunk=0.01))
    assert found.steepest.per_1000_chunks == pytest.approx(10 * 255 / 219, rel=0.25)
    assert not found.steepest.is_noise
    assert found.courses["psnr_db"].per_1000_chunks < 0


def test_every_round_shows_the_same_with_other_noise() -> None:
    """a chunk and the one a round later differ by the sensor's noise only, and do differ."""
    pipeline = Pale(levels_per_chunk=0)
    measured(pipeline, chunks=drift.FEWEST_CHUNKS)
    for number in (1, 5, drift.ROUND_CHUNKS):
        here, there = pipeline.taken[number], pipeline.taken[number + drift.ROUND_CHUNKS]
        apart = np.abs(here.astype(int) - there.astype(int))
        assert 1 < apart.mean() < 2 * drift.SENSOR_LEVELS
    assert pipeline.closed == 1


def test_too_few_chunks_for_a_trend() -> None:
    with pytest.raises(ValueError, match="chunks is 59, a trend needs at least 60"):
        measured(Pale(levels_per_chunk=0), chunks=59)


def test_memory_is_what_is_held_now() -> None:
    """new pages count while they are mapped, and not after; an allocator might reuse old ones."""
    before = drift.resident_bytes()
    with mmap.mmap(-1, 64 << 20) as pages:
        pages.write(b"x" * len(pages))
        held = drift.resident_bytes()
    assert held - before > 48 << 20
    assert drift.resident_bytes() < held - (48 << 20)
