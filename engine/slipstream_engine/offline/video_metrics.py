"""How a new video compares with a reference: fidelity, and whether its motion is the reference's.

Thin over scikit-image (SSIM) and OpenCV (optical flow). The warp error is that of the paper's
evaluation with two defects corrected: it computes in floating point, and its occlusion mask is in
the coordinates of the frame it masks.

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

from slipstream_engine.offline.video_reader import VideoReader, scaled_frames

Frame = NDArray[np.uint8]
Field = NDArray[np.float32]

# a pixel is occluded where its forward and backward flows differ by more than this share of their
# lengths plus half a pixel
_OCCLUDED_SHARE, _OCCLUDED_PX = 0.01, 0.5
_LEVELS = 255
_mse: Callable[..., float] = metrics.mean_squared_error  # untyped library
_ssim: Callable[..., float] = metrics.structural_similarity


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoComparison:
    """How two videos differ.

    Args:
        psnr_db: of the mean square error over all frames; infinite where all are equal.
        ssim: mean over the frames.
        warp_error: mean distance, in levels of 255, between a frame and the one before it warped
            along the reference's flow, where nothing is occluded.
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
        """The figures as lines of text."""
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
class FramePair:
    """The frames of both videos at one time."""

    reference: Frame
    candidate: Frame


class Flow:
    """Dense optical flow between two frames."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._search.setFinestScale(0)  # a flow vector for every pixel

    def __call__(self, first: Frame, second: Frame) -> Field:
        """How far each pixel of `first` moves to its place in `second`, `[H, W, 2]` pixels."""
        grey_first, grey_second = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (first, second))
        flow_HW2 = np.zeros((*first.shape[:2], 2), np.float32)
        return np.asarray(self._search.calc(grey_first, grey_second, flow_HW2), np.float32)


def compare(pairs: Iterable[FramePair]) -> VideoComparison:
    """Compare two videos of the same size and length, two frames of each in memory.

    Raises:
        ValueError: if there are fewer than two frames.
    """
    flow = Flow()
    squared_errors: list[float] = []
    similarities: list[float] = []
    motion: list[_Motion] = []
    before: FramePair | None = None
    for pair in pairs:
        squared_errors.append(_mse(pair.reference / _LEVELS, pair.candidate / _LEVELS))
        similarities.append(_ssim(pair.reference, pair.candidate, channel_axis=2))
        if before is not None:
            motion.append(_compare_motion(before, pair, flow))
        before = pair
    if not motion:
        raise ValueError(f"{len(squared_errors)} frames are given, a comparison needs at least 2")
    error = float(np.mean(squared_errors))
    return VideoComparison(
        frames=len(squared_errors),
        psnr_db=-10 * math.log10(error) if error else math.inf,
        ssim=float(np.mean(similarities)),
        warp_error=float(np.mean([step.warp_error for step in motion])),
        flicker=float(np.mean([step.flicker for step in motion])),
        energy_error=float(np.mean([step.energy_error for step in motion])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Motion:
    """The change from one frame to the next, in the terms of `VideoComparison`."""

    warp_error: float
    flicker: float
    energy_error: float


def _compare_motion(before: FramePair, now: FramePair, flow: Flow) -> _Motion:
    reference = _change(before.reference, now.reference)
    candidate = _change(before.candidate, now.candidate)
    return _Motion(
        warp_error=warp_error(before, now, flow),
        flicker=float(np.abs(reference - candidate).mean()),
        energy_error=float(abs(np.abs(reference).mean() - np.abs(candidate).mean())),
    )


def _change(before: Frame, now: Frame) -> Field:
    return (now.astype(np.float32) - before.astype(np.float32)) / np.float32(_LEVELS)


def warp_error(before: FramePair, now: FramePair, flow: Flow) -> float:
    """Mean distance of the candidate from its last frame warped along the reference's flow.

    Returns:
        Levels of 255; 0 where every pixel is occluded.
    """
    backward_HW2 = flow(now.reference, before.reference)
    forward_HW2 = flow(before.reference, now.reference)
    rows, columns = np.indices(backward_HW2.shape[:2], np.float32)
    from_x, from_y = columns + backward_HW2[..., 0], rows + backward_HW2[..., 1]
    returned_HW2 = cv2.remap(forward_HW2, from_x, from_y, cv2.INTER_LINEAR)
    warped = cv2.remap(before.candidate.astype(np.float32), from_x, from_y, cv2.INTER_LINEAR)
    lengths = np.linalg.norm(backward_HW2, axis=2) + np.linalg.norm(returned_HW2, axis=2)
    mismatch = np.linalg.norm(backward_HW2 + returned_HW2, axis=2)
    is_inside = (
        (from_x >= 0)
        & (from_x <= backward_HW2.shape[1] - 1)
        & (from_y >= 0)
        & (from_y <= backward_HW2.shape[0] - 1)
    )
    is_visible = is_inside & (mismatch <= _OCCLUDED_SHARE * lengths + _OCCLUDED_PX)
    if not is_visible.any():
        return 0.0
    return float(np.abs(warped - now.candidate.astype(np.float32))[is_visible].mean())


def compare_files(reference: Path, candidate: Path) -> VideoComparison:
    """Compare two files at the size of `candidate`; the reference is scaled and cropped to it.

    Raises:
        ClipError: if a file cannot be read.
        ValueError: if one is longer than the other, or there are fewer than two frames.
    """
    with VideoReader(reference) as first, VideoReader(candidate) as second:
        return compare(_pairs(first, second))


def _pairs(reference: VideoReader, candidate: VideoReader) -> Iterator[FramePair]:
    size_px = (candidate.video.width, candidate.video.height)
    for first, second in zip_longest(_frames(reference, size_px), _frames(candidate, size_px)):
        if first is None or second is None:
            raise ValueError(
                f"{reference.path} and {candidate.path} are not equally long, "
                "they must have as many frames to be compared"
            )
        yield FramePair(reference=first, candidate=second)


def _frames(reader: VideoReader, size_px: tuple[int, int]) -> Iterator[Frame]:
    for frame in scaled_frames(
        reader, width_px=size_px[0], height_px=size_px[1], on_audio=lambda packet: None
    ):
        yield np.asarray(cv2.cvtColor(frame.pixels, cv2.COLOR_YUV2RGB_I420), np.uint8)
