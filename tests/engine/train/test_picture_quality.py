"""train/picture_quality.py, train/quality_report.py: each fault shows in its own measure only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cv2", reason="the train extra is not installed")

from slipstream_engine.config import EngineConfig
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.presets import PRESETS
from slipstream_engine.train import evaluate
from slipstream_engine.train.losses import BLOCK_PX
from slipstream_engine.train.picture_quality import (
    PictureQuality,
    block_ratio,
    gradient_ratio,
    mean_quality,
    moving_psnr_db,
    picture_quality,
    psnr_db,
    ssim,
)
from slipstream_engine.train.quality import QualityTable, StyleQuality, quality_table
from slipstream_engine.train.quality_report import quality_section
from slipstream_engine.train.scenes import Clip, Size
from slipstream_engine.train.sources import HELD_OUT
from slipstream_engine.weights.embedded import load_embedded_bundle

SIDE_PX = 8 * BLOCK_PX
MOST_BLOCKS = 1.25


def ramp(*, slope: float = 1 / 256, frames: int = 2) -> Clip:
    """As steep everywhere, along both axes, `[T, 64, 64, 3]`."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    return (
        np.repeat(((x + y) * slope)[None, :, :, None], frames, 0).repeat(3, -1).astype(np.float32)
    )


def steps(height: float, *, offset_px: int = 0) -> Clip:
    """What a grid adds: every block, from `offset_px` on, is `height` above the one before it."""
    y, x = (np.mgrid[0:SIDE_PX, 0:SIDE_PX] + BLOCK_PX - offset_px) // BLOCK_PX
    return np.repeat(((x + y) * height)[None, :, :, None], 2, 0).repeat(3, -1).astype(np.float32)


@given(times=st.floats(0.5, 3))
def test_a_known_grid_has_a_known_ratio(times: float) -> None:
    """steps at the borders as high as so many slopes add so many to a ratio of one."""
    slope = 1 / 1024
    made = ramp(slope=slope) + steps(times * slope)
    expected = (1 + times + 1e-4 / slope) / (1 + 1e-4 / slope)
    assert block_ratio(made, ramp(slope=slope)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_grid_of_one_direction_counts(axis: int) -> None:
    """stripes across either axis count alike."""
    lines = steps(0.01)[:, :, :1] if axis == 1 else steps(0.01)[:, :1]
    both = block_ratio(ramp() + steps(0.01), ramp())
    assert 1 < block_ratio(ramp() + lines, ramp()) < both


def test_what_is_no_grid_does_not_count() -> None:
    """the same picture, another contrast, edges off the borders, and the teacher's own grid."""
    assert block_ratio(ramp(), ramp()) == 1
    assert block_ratio(0.5 * ramp(), ramp()) == pytest.approx(1, abs=1e-3)
    assert block_ratio(ramp() + steps(0.01, offset_px=3), ramp()) < 1
    tiles = ramp() + steps(0.02)
    assert block_ratio(tiles, tiles) == 1
    flat = np.zeros_like(ramp())
    assert block_ratio(flat, flat) == 1


def test_only_what_moves_counts_there() -> None:
    """an error counts for what moves only where the camera's picture changes by over 8 levels."""
    camera = np.full((3, 16, 16, 3), 0.5, np.float32)
    camera[1:, :, :8, 1] += 9 / 255
    camera[1:, :, 8:] += 7 / 255
    right, wrong = camera.copy(), camera.copy()
    right[1, :, :8] += 0.1
    wrong[:, :, 8:] += 0.1
    assert moving_psnr_db(right, camera, camera) == pytest.approx(20, abs=0.01)
    assert moving_psnr_db(wrong, camera, camera) == pytest.approx(100)
    assert moving_psnr_db(camera, camera, camera[:1].repeat(3, axis=0)) is None


def test_psnr_and_similarity() -> None:
    """a tenth off everywhere is 20 dB; the same picture is 1, noise much less."""
    assert psnr_db(ramp() + 0.1, ramp()) == pytest.approx(20, abs=0.01)
    noise = np.random.default_rng(0).normal(0, 0.2, ramp().shape).astype(np.float32)
    assert ssim(ramp(), ramp()) == 1
    assert ssim(ramp() + noise, ramp()) < 0.5


def test_contrast_of_lines_shows_in_the_gradient() -> None:
    """half the slope is a quarter of the energy, whatever the level."""
    assert gradient_ratio(0.5 * ramp() + 0.2, ramp()) == pytest.approx(0.25, rel=1e-3)


def test_the_frames_own_steps_are_not_the_models() -> None:
    """strong colours are steeper between pairs of pixels once they went through frames: that the
    teacher's picture went the same way is taken into account."""
    rng = np.random.default_rng(1)
    target = rng.uniform(0, 1, (2, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    target[..., 1] = 0.5
    shown = evaluate.as_frames_show(target)
    assert block_ratio(shown, target) > 1.2
    assert picture_quality(shown, target, target, shown=shown).block_ratio == 1


def test_means_leave_out_clips_that_stand_still() -> None:
    """a clip in which nothing moves says nothing of what moves; without any there is no figure."""
    camera = ramp()
    moving = camera.copy()
    moving[1] += 0.2
    one, other = (picture_quality(clip + 0.1, clip, clip, shown=clip) for clip in (camera, moving))
    assert one.moving_psnr_db is None
    assert mean_quality([one, other]).moving_psnr_db == other.moving_psnr_db
    assert mean_quality([one]) == one


def test_what_the_section_says() -> None:
    """every figure stands in its row, the mean in the first one."""
    full = PictureQuality(
        psnr_db=21.44, moving_psnr_db=18.41, block_ratio=2.274, ssim=0.7, gradient_ratio=0.66
    )
    half = PictureQuality(
        psnr_db=20.5, moving_psnr_db=None, block_ratio=None, ssim=0.61, gradient_ratio=1.21
    )
    found = QualityTable(
        width_px=64,
        height_px=48,
        clips=("coffee",),
        seconds=60,
        styles=(StyleQuality(style="pencil", full_rate=full, half_rate=half),),
    )
    figures = "| 2.27 | 21.4 | 18.4 | 0.700 | 0.66 | - | 20.5 | - | 0.610 | 1.21 |"
    lines = quality_section(found, "a machine").lines
    assert [line for line in lines if "2.27" in line] == [
        f"| **mean** {figures}",
        f"| pencil {figures}",
    ]


def test_the_shipped_model_shows_no_grid() -> None:
    """on a held-out clip a style of lines and one of even areas are hardly steeper between blocks
    than their teachers are."""
    preset = PRESETS["tiny"].at_one_size(128, 128)
    config = EngineConfig(preset=preset)
    size = Size(frames=9, width_px=128, height_px=128)
    coffee = [source for source in HELD_OUT if source.name == "coffee"]
    pipeline = DiffusionPipeline(config, load_embedded_bundle(config))
    found = quality_table(pipeline, ("pencil", "thermal"), evaluate.held_out(size, coffee))
    for one in found.styles:
        ratio = one.full_rate.block_ratio
        assert ratio is not None and ratio < MOST_BLOCKS, one.style
