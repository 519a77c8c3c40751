"""`send/png.py`: what a decoder finds in the still."""

import av
import numpy as np
import pytest
from slipstream_protocol.frames import I420, i420_planes
from slipstream_server.send.png import encode_png


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((81, 90, 240), (255, 0, 0)),  # red by BT.601 in limited range
    ],
)
def test_colours_and_size_are_those_of_the_picture(
    colour: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    frame: I420 = np.empty((48 * 3 // 2, 64), np.uint8)
    for plane, value in zip(i420_planes(frame), colour, strict=True):
        plane[...] = value
    (picture,) = av.CodecContext.create("png", "r").decode(av.Packet(encode_png(frame)))
    assert (picture.width, picture.height) == (64, 48)
    shown = picture.to_ndarray(format="rgb24").reshape(-1, 3)
    assert np.abs(shown.astype(int) - rgb).max() <= 2
