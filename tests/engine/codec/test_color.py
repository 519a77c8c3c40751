"""codec/color.py: bytes of the camera to numbers of the model and back."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.codec.color import i420_from_rgb, rgb_from_i420

BLACK, WHITE = 16, 235


def flat(y: int, u: int, v: int, *, height: int = 4, width: int = 4) -> torch.Tensor:
    frame = torch.full((1, height * 3 // 2, width), y, dtype=torch.uint8)
    planes = frame[:, height:].view(1, 2, -1)
    planes[:, 0], planes[:, 1] = u, v
    return frame


def test_known_colours() -> None:
    """BT.601, limited range: 16 is black, 235 white, and pure red is (81, 90, 240)."""
    for bytes_yuv, rgb in (
        ((BLACK, 128, 128), (-1, -1, -1)),
        ((WHITE, 128, 128), (1, 1, 1)),
        ((81, 90, 240), (1, -1, -1)),
        ((145, 54, 34), (-1, 1, -1)),
        ((41, 240, 110), (-1, -1, 1)),
    ):
        converted = rgb_from_i420(flat(*bytes_yuv))[0, :, 0, 0]
        assert torch.allclose(converted, torch.tensor(rgb, dtype=torch.float32), atol=0.02)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_flat_colours_survive(red: int, green: int, blue: int) -> None:
    """A flat RGB colour comes back within the two levels that limited-range bytes cannot hold."""
    rgb = torch.tensor([red, green, blue]).float().div(127.5).sub(1)
    back = rgb_from_i420(i420_from_rgb(rgb[None, :, None, None].expand(1, 3, 4, 4)))
    assert (back[0, :, 0, 0] - rgb).abs().max() <= 2.6 / 127.5


def test_picture_survives() -> None:
    """Frames whose colours lie inside the cube come back byte for byte, give or take one."""
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(110, 146, (3, 24, 16), dtype=np.uint8))
    back = i420_from_rgb(rgb_from_i420(frames))
    assert back.shape == frames.shape
    assert (back.int() - frames.int()).abs().max() <= 1


def test_chroma_planes_lie_where_ffmpeg_puts_them() -> None:
    """Rows of U come before rows of V, also where a plane ends in the middle of a row."""
    frames = torch.full((1, 9, 4), 128, dtype=torch.uint8)  # 4x6: planes of 2x3 bytes
    frames[:, 6:].view(1, -1)[:, :6] = 160
    rgb = rgb_from_i420(frames)
    assert rgb.shape == (1, 3, 6, 4)
    assert (rgb[:, 2] > rgb[:, 0]).all(), "high U is blue"
    assert torch.equal(
        i420_from_rgb(rgb)[:, 6:].view(1, 2, 6)[:, 0], frames[:, 6:].view(1, 2, 6)[:, 0]
    )
