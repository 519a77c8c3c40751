"""Where a long stream's pictures go: one clip in a loop, and what each round of it differs in.

The clip runs forth and back, so that it joins itself. Every frame gets the noise of a camera's
sensor, other noise each time: a round that repeated the last one to the bit would be no stream that
anybody has.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters

from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.models.vae.taehv import TaehvState
from slipstream_engine.train.scenes import Clip
from slipstream_engine.train.trend import Trend, trend

ROUND_CHUNKS = 12
LOOP_FRAMES = ROUND_CHUNKS * 4 // 2 + 1  # forth and back, both ends once
SENSOR_LEVELS = 2.0
FEWEST_CHUNKS = 5 * ROUND_CHUNKS  # one to settle, one to compare with, three for a trend
_REPORT_CHUNKS = 600
_PAGE_BYTES = resource.getpagesize()


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one quantity.

    Args:
        first, last: its means in the first and the last round that count.
        per_1000_chunks: slope of the line through all rounds; `standard_error` of it.
        is_noise: whether the slope is within three of them.
    """

    first: float
    last: float
    per_1000_chunks: float
    standard_error: float
    is_noise: bool


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the process held, in MiB: after the first rounds, half way, and at the end."""

    start_mib: float
    middle_mib: float
    end_mib: float


class Drift(msgspec.Struct, frozen=True, kw_only=True, tag="drift"):
    """One stream.

    Args:
        courses: of mean red, green and blue and of the luma's deviation, in levels of 255, and of
            PSNR to the first round that counts, in dB.
    """

    prompt: str
    width_px: int
    height_px: int
    chunks: int
    seconds: float
    courses: Mapping[str, Course]
    memory: MemoryUse

    @property
    def steepest(self) -> Course:
        """Of those in levels, the one that goes the furthest."""
        in_levels = [course for name, course in self.courses.items() if name != "psnr_db"]
        return max(in_levels, key=lambda course: abs(course.per_1000_chunks))


class _Rounds:
    """A quantity's means, a round each."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0
        self.means: list[float] = []

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1
        if self._count == ROUND_CHUNKS:
            self.means.append(self._sum / ROUND_CHUNKS)
            self._sum, self._count = 0.0, 0


def measure(
    pipeline: DiffusionPipeline[TaehvState],
    clip: Clip,
    parameters: Parameters,
    *,
    chunks: int,
    on_chunk: Callable[[int], None] = lambda chunk: None,
) -> Drift:
    """Stream `clip` in a loop and see where its pictures go.

    Args:
        clip: `LOOP_FRAMES` of the pipeline's size.
        parameters: of the stream, with its prompt.
        chunks: to stream; whole rounds of it count.

    Raises:
        ValueError: if there are too few chunks for a trend.
    """
    if chunks < FEWEST_CHUNKS:
        raise ValueError(f"chunks is {chunks}, a trend needs at least {FEWEST_CHUNKS}")
    loop_THW = _looped(clip)
    stream = pipeline.open(parameters)
    rounds = {name: _Rounds() for name in ("red", "green", "blue", "contrast", "psnr_db")}
    reference: list[NDArray[np.float32]] = []
    held_mib: dict[int, float] = {}
    began, at = time.monotonic(), 0
    for chunk in range(chunks):
        frames_THW = _filmed(loop_THW, at, pipeline.geometry.frames_of(chunk), chunk)
        generated_THW = np.empty_like(frames_THW)
        stream.step(frames_THW, generated_THW)
        at += len(frames_THW)
        if chunk >= ROUND_CHUNKS:  # by then the cache is full
            levels = _levels(generated_THW)
            if len(reference) < ROUND_CHUNKS:
                reference.append(levels)
            _note(rounds, levels, reference[chunk % ROUND_CHUNKS])
        if chunk in (2 * ROUND_CHUNKS, chunks // 2, chunks - 1):
            held_mib[chunk] = resident_bytes() / 2**20
        on_chunk(chunk)
    stream.close()
    # the round that the others are compared with is itself to the bit, and would tip the line
    rounds["psnr_db"].means = rounds["psnr_db"].means[1:]
    start_mib, middle_mib, end_mib = (held_mib[chunk] for chunk in sorted(held_mib))
    return Drift(
        prompt=stream.prompts[0].text,
        width_px=pipeline.geometry.width_px,
        height_px=pipeline.geometry.height_px,
        chunks=chunks,
        seconds=round(time.monotonic() - began, 1),
        courses={name: _course(one.means) for name, one in rounds.items()},
        memory=MemoryUse(start_mib=start_mib, middle_mib=middle_mib, end_mib=end_mib),
    )


def progress(chunks: int) -> Callable[[int], None]:
    """Prints how far a long stream is, now and then."""

    def report(chunk: int) -> None:
        if (chunk + 1) % _REPORT_CHUNKS == 0 or chunk + 1 == chunks:
            print(f"drift: chunk {chunk + 1}/{chunks}", flush=True)

    return report


def resident_bytes() -> int:
    """What this process holds now; where the system does not say, the most it ever held."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * _PAGE_BYTES
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _looped(clip: Clip) -> I420:
    """The clip forth and back, as a camera gives it."""
    assert len(clip) == LOOP_FRAMES, f"the clip has {len(clip)} frames, it must have {LOOP_FRAMES}"
    both = np.concatenate([clip, clip[-2:0:-1]])
    rgb_TCHW = torch.from_numpy(np.ascontiguousarray(both.transpose(0, 3, 1, 2))) * 2 - 1
    return i420_from_rgb(rgb_TCHW).numpy()


def _filmed(loop_THW: I420, at: int, count: int, chunk: int) -> I420:
    """The next `count` frames of the loop under a sensor's noise."""
    frames = loop_THW[np.arange(at, at + count) % len(loop_THW)].astype(np.float32)
    noise = np.random.default_rng([5, chunk]).standard_normal(frames.shape, np.float32)
    return np.asarray(np.rint(np.clip(frames + SENSOR_LEVELS * noise, 0, 255)), np.uint8)


def _levels(generated_THW: I420) -> NDArray[np.float32]:
    """RGB `[T, 3, H, W]`, 0 to 255."""
    rgb_TCHW = rgb_from_i420(torch.from_numpy(generated_THW))
    return np.asarray((rgb_TCHW.numpy() + 1) * 127.5, np.float32)


def _note(
    rounds: Mapping[str, _Rounds], levels: NDArray[np.float32], before: NDArray[np.float32]
) -> None:
    for name, mean in zip(("red", "green", "blue"), levels.mean(axis=(0, 2, 3)), strict=True):
        rounds[name].add(float(mean))
    rounds["contrast"].add(float(levels.mean(axis=1).std(axis=(1, 2)).mean()))
    error = float(np.square(levels - before).mean())
    rounds["psnr_db"].add(10 * float(np.log10(255**2 / (error + 1e-6))))


def _course(means: list[float]) -> Course:
    line: Trend = trend(means)
    per_1000 = 1000 / ROUND_CHUNKS
    return Course(
        first=round(means[0], 3),
        last=round(means[-1], 3),
        per_1000_chunks=round(line.slope * per_1000, 5),
        standard_error=round(line.standard_error * per_1000, 5),
        is_noise=line.is_noise,
    )
