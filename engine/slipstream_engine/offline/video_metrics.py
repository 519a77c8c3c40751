"""How a new film compares with a reference: fidelity, and whether its motion is the reference's.

Thin over scikit-image (SSIM) and OpenCV (optical flow). The warp error is that of the paper's
evaluation without its two defects: floating point, and a mask in the coordinates of the picture it
masks.

H height, W width, C = 3 channels; frames are RGB uint8 `[H, W, 3]`.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import metrics

from slipstream_engine.offline.video_reader import VideoReader, pictures

Frame = NDArray[np.uint8]
Field = NDArray[np.float32]

# flows forth and back that add up to more than this share of their lengths, plus half a pixel,
# belong to what is hidden in one of the pictures
_HIDDEN_SHARE, _HIDDEN_PX = 0.01, 0.5
_LEVELS = 255
_mse: Callable[..., float] = metrics.mean_squared_error  # untyped library
_ssim: Callable[..., float] = metrics.structural_similarity


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was measured.

    Args:
        psnr_db: of the mean square error over all frames; infinite where all are equal.
        ssim: mean over the frames.
        warp_error: mean distance, in levels of 255, between a frame and the one before it moved
            along the reference's flow, where nothing is hidden.
        flicker: mean difference between the changes from frame to frame, 0 to 1.
        energy_error: mean difference between the sizes of these changes, 0 to 1.
    """

    frames: int
    psnr_db: float
    ssim: float
    warp_error: float
    flicker: float
    energy_error: float

    def table(self) -> str:
        """For people."""
        rows = (
            ("frames", f"{self.frames}"),
            ("PSNR", f"{self.psnr_db:.2f} dB"),
            ("SSIM", f"{self.ssim:.4f}"),
            ("warp error", f"{self.warp_error:.2f} of {_LEVELS} levels"),
            ("flicker", f"{self.flicker:.5f} of 1"),
            ("flicker, energy", f"{self.energy_error:.5f} of 1"),
        )
        return "\n".join(f"{name:<16} {value}" for name, value in rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """The same moment in both films."""

    reference: Frame
    candidate: Frame


class Flow:
    """Dense optical flow between two frames."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._search.setFinestScale(0)  # every pixel its own

    def __call__(self, here: Frame, there: Frame) -> Field:
        """How far each pixel of `here` moves on its way to `there`, `[H, W, 2]`."""
        grey_here, grey_there = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (here, there))
        flow_HW2 = np.zeros((*here.shape[:2], 2), np.float32)
        return np.asarray(self._search.calc(grey_here, grey_there, flow_HW2), np.float32)


def compare(pairs: Iterable[Pair]) -> Comparison:
    """Compare two films of the same size and length, two frames of each in memory.

    Raises:
        ValueError: if there are fewer than two frames.
    """
    flow = Flow()
    squared: list[float] = []
    similar: list[float] = []
    motion: list[_Motion] = []
    before: Pair | None = None
    for pair in pairs:
        squared.append(_mse(pair.reference / _LEVELS, pair.candidate / _LEVELS))
        similar.append(_ssim(pair.reference, pair.candidate, channel_axis=2))
        if before is not None:
            motion.append(_compare_motion(before, pair, flow))
        before = pair
    if not motion:
        raise ValueError(f"{len(squared)} frames are given, a comparison needs at least 2")
    error = float(np.mean(squared))
    return Comparison(
        frames=len(squared),
        psnr_db=-10 * math.log10(error) if error else math.inf,
        ssim=float(np.mean(similar)),
        warp_error=float(np.mean([step.warp_error for step in motion])),
        flicker=float(np.mean([step.flicker for step in motion])),
        energy_error=float(np.mean([step.energy_error for step in motion])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Motion:
    """From one frame to the next, as `Comparison` has it."""

    warp_error: float
    flicker: float
    energy_error: float


def _compare_motion(before: Pair, now: Pair, flow: Flow) -> _Motion:
    wanted = _change(before.reference, now.reference)
    made = _change(before.candidate, now.candidate)
    return _Motion(
        warp_error=warp_error(before, now, flow),
        flicker=float(np.abs(wanted - made).mean()),
        energy_error=float(abs(np.abs(wanted).mean() - np.abs(made).mean())),
    )


def _change(before: Frame, now: Frame) -> Field:
    return (now.astype(np.float32) - before.astype(np.float32)) / np.float32(_LEVELS)


def warp_error(before: Pair, now: Pair, flow: Flow) -> float:
    """How far the candidate is from its last frame moved along the reference's flow, in levels."""
    back_HW2 = flow(now.reference, before.reference)
    forth_HW2 = flow(before.reference, now.reference)
    rows, columns = np.indices(back_HW2.shape[:2], np.float32)
    from_x, from_y = columns + back_HW2[..., 0], rows + back_HW2[..., 1]
    there_HW2 = cv2.remap(forth_HW2, from_x, from_y, cv2.INTER_LINEAR)
    moved = cv2.remap(before.candidate.astype(np.float32), from_x, from_y, cv2.INTER_LINEAR)
    lengths = np.linalg.norm(back_HW2, axis=2) + np.linalg.norm(there_HW2, axis=2)
    mismatch = np.linalg.norm(back_HW2 + there_HW2, axis=2)
    is_inside = (
        (from_x >= 0)
        & (from_x <= back_HW2.shape[1] - 1)
        & (from_y >= 0)
        & (from_y <= back_HW2.shape[0] - 1)
    )
    is_seen = is_inside & (mismatch <= _HIDDEN_SHARE * lengths + _HIDDEN_PX)
    if not is_seen.any():
        return 0.0
    return float(np.abs(moved - now.candidate.astype(np.float32))[is_seen].mean())


def compare_files(reference: Path, candidate: Path) -> Comparison:
    """Compare two files at the size of `candidate`; the reference is cut and scaled to it.

    Raises:
        ClipError: if a file cannot be read.
        ValueError: if one is longer than the other, or there are fewer than two frames.
    """
    with VideoReader(reference) as left, VideoReader(candidate) as right:
        return compare(_pairs(left, right))


def _pairs(reference: VideoReader, candidate: VideoReader) -> Iterator[Pair]:
    size_px = (candidate.video.width, candidate.video.height)
    for left, right in zip_longest(_frames(reference, size_px), _frames(candidate, size_px)):
        if left is None or right is None:
            raise ValueError(
                f"{reference.path} and {candidate.path} are not equally long, "
                "they must have as many frames to be compared"
            )
        yield Pair(reference=left, candidate=right)


def _frames(source: VideoReader, size_px: tuple[int, int]) -> Iterator[Frame]:
    for picture in pictures(
        source, width_px=size_px[0], height_px=size_px[1], on_audio=lambda packet: None
    ):
        yield np.asarray(cv2.cvtColor(picture.pixels, cv2.COLOR_YUV2RGB_I420), np.uint8)
