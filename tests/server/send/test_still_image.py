"""`send/still_image.py`: what a decoder finds in the small picture, and in the still."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.frames import I420, i420_planes
from slipstream_server.send.still_image import encode_jpeg, encode_png

LONGEST_PX = 320


def plain(width_px: int, height_px: int, colour: tuple[int, int, int]) -> I420:
    frame: I420 = np.empty((height_px * 3 // 2, width_px), np.uint8)
    for plane, value in zip(i420_planes(frame), colour, strict=True):
        plane[...] = value
    return frame


def decoded(jpeg: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    (picture,) = decoder.decode(av.Packet(jpeg))
    return picture


@settings(max_examples=30)
@given(st.integers(1, 500), st.integers(1, 500))
def test_no_side_is_too_long_and_the_shape_stays(half_width: int, half_height: int) -> None:
    """a picture that is small enough keeps its size."""
    width_px, height_px = 2 * half_width, 2 * half_height
    picture = decoded(
        encode_jpeg(plain(width_px, height_px, (90, 100, 150)), longest_px=LONGEST_PX)
    )
    assert max(picture.width, picture.height) == min(LONGEST_PX, max(width_px, height_px))
    scale = max(picture.width, picture.height) / max(width_px, height_px)
    assert abs(picture.width - width_px * scale) <= 2
    assert abs(picture.height - height_px * scale) <= 2


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((81, 90, 240), (255, 0, 0)),  # red by BT.601 in limited range
    ],
)
def test_colours_are_those_of_jfif(colour: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    """which are in full range: black is black, and white is white, in every viewer."""
    picture = decoded(encode_jpeg(plain(64, 48, colour), longest_px=LONGEST_PX))
    assert picture.color_range == 2  # full, in FFmpeg's numbers
    shown = picture.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
    assert np.abs(shown - rgb).max() < 4


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((81, 90, 240), (255, 0, 0)),  # red by BT.601 in limited range
    ],
)
def test_a_still_has_the_pictures_colours_and_size(
    colour: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    png = encode_png(plain(64, 48, colour))
    (picture,) = av.CodecContext.create("png", "r").decode(av.Packet(png))
    assert (picture.width, picture.height) == (64, 48)
    shown = picture.to_ndarray(format="rgb24").reshape(-1, 3)
    assert np.abs(shown.astype(int) - rgb).max() <= 2
