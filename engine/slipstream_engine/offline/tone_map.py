"""Pictures of high dynamic range, as phones and broadcasts make them, in the range of a screen.

PQ (SMPTE ST 2084) says how bright a pixel is on the screen; HLG (ARIB STD-B67, BT.2100) how bright
it was in the scene, and becomes the light of a screen of 1000 cd/m2 first. Diffuse white, 203 cd/m2
(BT.2408), lies a little below a screen's white; what is brighter is rolled off up to 1000 cd/m2 by
a Moebius curve, and what is darker than half of it stays as it is. Wide colours are clipped.

H height, W width, C = 3 channels red, green, blue.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from slipstream_protocol.colours import HdrTransfer

Light = NDArray[np.float32]

_CODES = 2**16
_WHITE_CD_M2, _PEAK_CD_M2 = 203.0, 1000.0
_KNEE = 0.5  # of white; below it light is kept
_SCREEN_GAMMA = 2.4  # BT.1886
_SCREEN_CODES = 4096

# primaries in CIE xy: red, green, blue; all with the white of D65
_D65 = (0.3127, 0.3290)
_BT_709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# by their numbers in H.273; undeclared ones of a film in PQ or HLG are those of BT.2100
_PRIMARIES = {1: _BT_709, 2: _BT_2020, 9: _BT_2020, 11: _P3, 12: _P3}


def tone_map(
    codes_HWC: NDArray[np.uint16],
    transfer: HdrTransfer,
    primaries: int,
    *,
    white: int = 2**16 - 1,
) -> NDArray[np.uint8]:
    """RGB of 8 bits for a screen of standard range, of RGB of 16 bits in PQ or HLG.

    Args:
        primaries: number in H.273 of the colours that the codes are mixed of.
        white: code of the whole signal.
    """
    light_HWC = _light(transfer, white)[codes_HWC]
    if transfer is HdrTransfer.HLG:
        luminance_HW1 = light_HWC @ np.array([[0.2627], [0.6780], [0.0593]], np.float32)
        light_HWC *= np.maximum(luminance_HW1, 1e-6) ** np.float32(0.2) * np.float32(
            _PEAK_CD_M2 / _WHITE_CD_M2
        )
    mixed = _PRIMARIES.get(primaries, _BT_709)
    if mixed is not _BT_709:
        light_HWC = light_HWC @ _to_bt_709(mixed).T
    np.maximum(light_HWC, 0, out=light_HWC)
    # all three channels by the factor of the brightest, so that hues stay
    brightest_HW1 = light_HWC.max(axis=-1, keepdims=True)
    light_HWC *= roll_off(brightest_HW1) / np.maximum(brightest_HW1, 1e-6)
    # the table is over the square root of light: the eye and the screen are finer in the dark
    places = np.sqrt(light_HWC.clip(0, 1)) * np.float32(_SCREEN_CODES - 1) + np.float32(0.5)
    mapped: NDArray[np.uint8] = _screen()[places.astype(np.uint16)]
    return mapped


def roll_off(light: Light) -> Light:
    """Light relative to diffuse white, with what is above the knee pressed below 1."""
    peak, knee = _PEAK_CD_M2 / _WHITE_CD_M2, _KNEE
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    scale = (b**2 + 2 * b * knee + knee**2) / (b - a)
    bright = np.maximum(np.minimum(light, peak), knee)
    return np.where(light <= knee, light, scale * (bright + a) / (bright + b)).astype(np.float32)


@cache
def _light(transfer: HdrTransfer, white: int) -> Light:
    """For every code, light relative to diffuse white (PQ) or to the scene's brightest (HLG)."""
    signal = np.minimum(np.arange(_CODES) / white, 1)
    if transfer is HdrTransfer.PQ:
        m1, m2 = 2610 / 16384, 2523 / 32
        c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        light = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) / _WHITE_CD_M2
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light.astype(np.float32)


@cache
def _screen() -> NDArray[np.uint8]:
    root = np.arange(_SCREEN_CODES) / (_SCREEN_CODES - 1)
    codes: NDArray[np.uint8] = (255 * (root**2) ** (1 / _SCREEN_GAMMA)).round().astype(np.uint8)
    return codes


@cache
def _to_bt_709(primaries: tuple[tuple[float, float], ...]) -> Light:
    matrix: Light = (np.linalg.inv(_to_xyz(_BT_709)) @ _to_xyz(primaries)).astype(np.float32)
    return matrix


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array([_D65[0] / _D65[1], 1, (1 - sum(_D65)) / _D65[1]])
    mixed: NDArray[np.float64] = columns * np.linalg.solve(columns, white)
    return mixed
