"""I420 frames to RGB and back, on the device.

ITU-R BT.601 in limited range, which webcams, aiortc and x264 assume by default. A chroma sample
covers 2x2 luma samples: it is repeated on the way to RGB, and is the mean of theirs on the way
back; for flat colours the two are inverse. A chunk is `[T, H * 3 // 2, W]` uint8, laid out as in
`slipstream_protocol/frames.py`.

T frames, C channels, H height, W width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# luma weights of red and blue; everything else follows from them
_KR, _KB = 0.299, 0.114
_KG = 1 - _KR - _KB
_LUMA_LOW, _LUMA_RANGE = 16.0, 219.0
_CHROMA_ZERO, _CHROMA_RANGE = 128.0, 224.0
_RED_PER_V = 2 * (1 - _KR)
_BLUE_PER_U = 2 * (1 - _KB)


def rgb_from_i420(frames_THW: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Convert I420 frames to RGB `[T, 3, H, W]` in [-1, 1]; other values are clamped."""
    rows, width = frames_THW.shape[-2:]
    height = rows * 2 // 3
    y_T1HW = ((frames_THW[:, None, :height].float() - _LUMA_LOW) / _LUMA_RANGE).clamp(0, 1)
    uv_T2HW = frames_THW[:, height:].reshape(-1, 2, height // 2, width // 2)
    uv_T2HW = F.interpolate(
        (uv_T2HW.float() - _CHROMA_ZERO) / _CHROMA_RANGE, scale_factor=2.0, mode="nearest"
    )
    u_T1HW, v_T1HW = uv_T2HW.split(1, dim=1)
    red = y_T1HW + _RED_PER_V * v_T1HW
    blue = y_T1HW + _BLUE_PER_U * u_T1HW
    green = (y_T1HW - _KR * red - _KB * blue) / _KG
    return (torch.cat([red, green, blue], dim=1).clamp(0, 1) * 2 - 1).to(dtype)


def i420_from_rgb(rgb_TCHW: Tensor) -> Tensor:
    """Convert RGB in [-1, 1] to I420 `[T, H * 3 // 2, W]`, uint8; other values are clamped."""
    red, green, blue = (rgb_TCHW.float().clamp(-1, 1) * 0.5 + 0.5).split(1, dim=1)
    y_T1HW = _KR * red + _KG * green + _KB * blue
    u_T1HW = (blue - y_T1HW) / _BLUE_PER_U
    v_T1HW = (red - y_T1HW) / _RED_PER_V
    uv_T2HW = F.avg_pool2d(torch.cat([u_T1HW, v_T1HW], dim=1), 2) * _CHROMA_RANGE + _CHROMA_ZERO
    luma_THW = (y_T1HW * _LUMA_RANGE + _LUMA_LOW).squeeze(1)
    chroma_THW = uv_T2HW.reshape(len(uv_T2HW), -1, rgb_TCHW.shape[-1])
    return torch.cat([luma_THW, chroma_THW], dim=1).round().clamp(0, 255).to(torch.uint8)
