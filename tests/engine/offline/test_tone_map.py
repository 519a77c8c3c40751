"""offline/tone_map.py, offline/frame_scaler.py: high dynamic range on a usual screen."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from slipstream_engine.offline.frame_scaler import FrameScaler
from slipstream_engine.offline.tone_map import roll_off, tone_map
from slipstream_protocol.colours import HdrTransfer
from slipstream_protocol.frames import i420_planes

BT_709, BT_2020 = 1, 9


def pq(cd_m2: float) -> float:
    """The signal of SMPTE ST 2084, 0 to 1."""
    y = (cd_m2 / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))


def of_pq(*rgb_cd_m2: float, primaries: int = BT_709) -> list[int]:
    codes = np.array([[[round(65535 * pq(level)) for level in rgb_cd_m2]]], np.uint16)
    return [int(level) for level in tone_map(codes, HdrTransfer.PQ, primaries)[0, 0]]


def test_dark_light_is_kept() -> None:
    """Below half of diffuse white a screen shows the same light: PQ and gamma 2.4 in turn."""
    for cd_m2 in (0, 1, 10, 50, 100):
        expected = 255 * (cd_m2 / 203) ** (1 / 2.4)
        assert of_pq(cd_m2, cd_m2, cd_m2) == pytest.approx([expected] * 3, abs=1)


def test_bright_light_is_told_apart_up_to_the_peak() -> None:
    """Levels rise to a screen's white at 1000 cd/m2 and stay there; diffuse white is bright."""
    levels = [of_pq(cd, cd, cd)[0] for cd in (100, 203, 400, 700, 1000, 4000, 10_000)]
    assert all(a < b for a, b in pairwise(levels[:5]))
    assert levels[4:] == [255, 255, 255]
    assert 205 < levels[1] < 235
    assert roll_off(np.array([0.2, 0.5], np.float32)) == pytest.approx([0.2, 0.5], abs=1e-6)


def test_primaries() -> None:
    """White is white in any primaries; red of BT.709, mixed of those of BT.2020, is red again."""
    assert of_pq(80, 80, 80, primaries=BT_2020) == pytest.approx(of_pq(80, 80, 80), abs=1)
    red = of_pq(0.6274 * 90, 0.0691 * 90, 0.0164 * 90, primaries=BT_2020)  # BT.2087
    assert red == pytest.approx([round(255 * (90 / 203) ** (1 / 2.4)), 0, 0], abs=12)
    assert red[0] - red[1] > 150


def test_hlg() -> None:
    """Of HLG, 75 % is diffuse white, as of PQ 203 cd/m2, and 100 % a screen's white."""
    codes = np.array([[[round(65535 * signal)] * 3 for signal in (0, 0.75, 1)]], np.uint16)
    black, white, peak = tone_map(codes, HdrTransfer.HLG, BT_2020)[0, :, 0]
    assert (black, peak) == (0, 255)
    assert white == pytest.approx(of_pq(203, 203, 203)[0], abs=2)


@pytest.mark.parametrize("limited", [True, False])
def test_frames_of_a_phone(limited: bool) -> None:
    """Ten bits of PQ, BT.2020, in limited or full range, come out as I420 of a screen."""
    low, span = (64, 876) if limited else (0, 1023)
    rows = np.full((72, 64), 512, np.uint16)
    rows[:48] = round(low + span * pq(100))
    frame = av.VideoFrame.from_ndarray(rows, "yuv420p10le")
    frame.color_range, frame.color_trc = 1 if limited else 2, HdrTransfer.PQ
    frame.colorspace, frame.color_primaries = 9, BT_2020
    scale = FrameScaler(width_px=32, height_px=24, pixel_aspect=Fraction(1))
    luma, blue, red = i420_planes(scale(frame))
    expected = 16 + 219 * (100 / 203) ** (1 / 2.4)
    assert np.abs(luma - expected).max() <= 2
    assert np.abs(blue.astype(int) - 128).max() <= 2 and np.abs(red.astype(int) - 128).max() <= 2


@pytest.mark.parametrize(("height", "is_709"), [(480, False), (720, True)])
def test_an_undeclared_matrix(height: int, is_709: bool) -> None:
    """Pictures that declare none are BT.601 below 720 lines and BT.709 from there on."""
    rows = np.full((height * 3 // 2, 64), 90, np.uint8)
    rows[:height] = 81
    rows[height + height // 4 :] = 240  # a strong red
    made = {}
    for matrix in (2, 1, 5):
        frame = av.VideoFrame.from_ndarray(rows, "yuv420p")
        frame.colorspace = matrix
        scale = FrameScaler(width_px=64, height_px=height, pixel_aspect=Fraction(1))
        made[matrix] = scale(frame)
    assert np.array_equal(made[2], made[1 if is_709 else 5])
    assert not np.array_equal(made[1], made[5])
