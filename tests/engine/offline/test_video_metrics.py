"""offline/video_metrics.py: known transforms have known measures."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from slipstream_engine.offline.video_metrics import (
    Frame,
    FramePair,
    VideoComparison,
    compare,
    compare_files,
)

from tests.engine.video_files import even_times, write_video

FRAMES, SIZE_PX = 6, 96
Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(0)


def pan(rng: Rng, *, columns: int) -> list[Frame]:
    """A smooth texture that moves so many pixels a frame."""
    noise = rng.normal(size=(SIZE_PX, SIZE_PX + FRAMES * columns, 3))
    for axis in (0, 1):
        noise = np.stack([np.roll(noise, shift, axis) for shift in range(-4, 5)]).sum(axis=0)
    wide = np.clip(128 + noise * 4, 0, 255).astype(np.uint8)
    return [wide[:, k * columns : k * columns + SIZE_PX] for k in range(FRAMES)]


def measure(reference: list[Frame], candidate: list[Frame]) -> VideoComparison:
    pairs = (FramePair(reference=a, candidate=b) for a, b in zip(reference, candidate, strict=True))
    return compare(pairs)


def test_a_video_against_itself(rng: Rng) -> None:
    """Nothing differs: infinite PSNR, SSIM 1, no flicker."""
    video = pan(rng, columns=0)
    found = measure(video, video)
    assert (found.psnr_db, found.frames) == (math.inf, FRAMES)
    assert found.ssim == pytest.approx(1.0)
    assert (found.warp_error, found.flicker, found.energy_error) == (0.0, 0.0, 0.0)


def test_a_pan_has_no_warp_error(rng: Rng) -> None:
    """Frames that move as the reference does are predicted by its flow."""
    video = pan(rng, columns=3)
    assert measure(video, video).warp_error < 1.0
    still = [video[0]] * FRAMES
    assert measure(video, still).warp_error > 5.0


def test_noise_on_a_still(rng: Rng) -> None:
    """Noise of deviation s: PSNR 20 log10(255 / s), on a still a warp error of 2 s / sqrt(pi)."""
    sigma = 6.0
    video = [np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8)] * FRAMES
    noisy = [
        (frame + rng.normal(0, sigma, frame.shape)).round().astype(np.uint8) for frame in video
    ]
    found = measure(video, noisy)
    assert found.psnr_db == pytest.approx(20 * math.log10(255 / sigma), abs=0.1)
    assert found.warp_error == pytest.approx(2 * sigma / math.sqrt(math.pi), rel=0.02)
    assert found.flicker * 255 == pytest.approx(found.warp_error, rel=1e-4)
    assert found.energy_error == pytest.approx(found.flicker, rel=1e-4)


def test_occluded_pixels_do_not_count(rng: Rng) -> None:
    """What a moving square uncovers is left out, so the error stays small."""
    back, front = pan(rng, columns=0)[0], pan(rng, columns=0)[0]
    video = []
    for k in range(FRAMES):
        frame = back.copy()
        frame[30:60, 20 + 6 * k : 50 + 6 * k] = front[30:60, 20:50]
        video.append(frame)
    assert measure(video, video).warp_error < 3.0


def test_one_frame_is_too_few(rng: Rng) -> None:
    """There is no motion in one frame."""
    video = pan(rng, columns=0)[:1]
    with pytest.raises(ValueError, match=r"^1 frames are given, a comparison needs at least 2$"):
        measure(video, video)


def test_memory_holds_two_frames(rng: Rng) -> None:
    """Frames are taken one by one, not gathered."""
    ahead = 0

    def pairs() -> Iterator[FramePair]:
        nonlocal ahead
        for frame in pan(rng, columns=1):
            ahead += 1
            yield FramePair(reference=frame, candidate=frame)

    stream = pairs()
    next(stream)
    compare(stream)
    assert ahead == FRAMES


def test_files_of_different_size(tmp_path: Path) -> None:
    """The reference is scaled and cropped to the size of the candidate."""
    large = write_video(tmp_path / "large.mp4", times=even_times(8), width_px=128, height_px=96)
    found = compare_files(large, large)
    assert found.psnr_db == math.inf
    small = write_video(tmp_path / "small.mp4", times=even_times(8), width_px=64, height_px=48)
    assert compare_files(large, small).psnr_db > 10
    longer = write_video(tmp_path / "longer.mp4", times=even_times(9))
    with pytest.raises(ValueError, match=r"longer\.mp4 and .*small\.mp4 are not equally long"):
        compare_files(longer, small)


def test_the_table_names_units() -> None:
    """Every figure is printed with its unit."""
    found = VideoComparison(
        frames=9, psnr_db=31.234, ssim=0.98765, warp_error=3.21, flicker=0.01, energy_error=0.002
    )
    assert found.table().splitlines() == [
        "frames           9",
        "PSNR             31.23 dB",
        "SSIM             0.9877",
        "warp error       3.21 of 255 levels",
        "flicker          0.01000 of 1",
        "flicker, energy  0.00200 of 1",
    ]
