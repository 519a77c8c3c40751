"""Makes the frames of a file into those of the model: upright, of one size, in its colours.

H height, W width.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from slipstream_protocol.frames import I420, i420_planes

from slipstream_engine.offline.tone_map import HdrTransfer, tone_map

_UNDECLARED = 2  # matrix, in H.273
# what the scaler makes of white of ten bits in codes of 16
_LIMITED_WHITE, _FULL_WHITE = 255 << 8, 1023 << 6
_HD_LINES = 720  # undeclared pictures of so many lines are BT.709, smaller ones BT.601


class FrameScaler:
    """Makes I420 frames of one size: upright, scaled to cover it, cropped to the centre.

    The colours are BT.601, limited range; high dynamic range is mapped to a screen's. What a file
    does not declare is taken as players take it: limited range, BT.709 from 720 lines on.

    Args:
        width_px, height_px: of the result; even.
        pixel_aspect: width over height of a source's pixel.
    """

    def __init__(self, *, width_px: int, height_px: int, pixel_aspect: Fraction) -> None:
        self._size_px = (width_px, height_px)
        self._pixel_aspect = pixel_aspect
        self._reformatter = VideoReformatter()
        self._from_rgb = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> I420:
        quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise
        width_px, height_px = self._size_px[::-1] if quarter_turns % 2 else self._size_px
        cover_px = _covering_size_px(
            frame.width * self._pixel_aspect, frame.height, width_px, height_px
        )
        if frame.color_trc in (HdrTransfer.PQ, HdrTransfer.HLG):
            scaled = self._mapped(frame, cover_px)
        else:
            scaled = self._reformatter.reformat(
                frame,
                width=cover_px[0],
                height=cover_px[1],
                format="yuv420p",
                src_colorspace=_matrix_of(frame, undeclared_hd=Colorspace.ITU709),
                dst_colorspace=Colorspace.ITU601,
                src_color_range=None if frame.color_range else ColorRange.MPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BICUBIC,
            )
        out: I420 = np.empty((self._size_px[1] * 3 // 2, self._size_px[0]), np.uint8)
        for shift, plane, target in zip((0, 1, 1), scaled.planes, i420_planes(out), strict=True):
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            top = (cover_px[1] - height_px) // 4 * 2 >> shift
            left = (cover_px[0] - width_px) // 4 * 2 >> shift
            rows, columns = height_px >> shift, width_px >> shift
            target[:] = np.rot90(pixels[top : top + rows, left : left + columns], quarter_turns)
        return out

    def _mapped(self, frame: av.VideoFrame, size_px: tuple[int, int]) -> av.VideoFrame:
        """A frame of high dynamic range in a screen's, scaled; by way of RGB of 16 bits."""
        deep = self._reformatter.reformat(
            frame,
            width=size_px[0],
            height=size_px[1],
            format="rgb48le",
            src_colorspace=_matrix_of(frame, undeclared_hd=Colorspace.BT2020),
            src_color_range=None if frame.color_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC,
        )
        mapped = tone_map(
            np.asarray(deep.to_ndarray(), np.uint16),
            HdrTransfer(int(frame.color_trc)),
            int(frame.color_primaries),
            white=_FULL_WHITE if frame.color_range == ColorRange.JPEG else _LIMITED_WHITE,
        )
        return self._from_rgb.reformat(
            av.VideoFrame.from_ndarray(mapped, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
        )


def _matrix_of(frame: av.VideoFrame, *, undeclared_hd: Colorspace) -> Colorspace | None:
    """What to tell the scaler of a frame's matrix; None where the frame declares it."""
    is_undeclared = int(frame.colorspace) == _UNDECLARED
    return undeclared_hd if is_undeclared and frame.height >= _HD_LINES else None


def _covering_size_px(
    width_px: int | Fraction, height_px: int, target_width_px: int, target_height_px: int
) -> tuple[int, int]:
    """The smallest even size of the same aspect that covers the target."""
    scale = max(target_width_px / Fraction(width_px), Fraction(target_height_px, height_px))
    wide, high = (-(-size * scale // 2) * 2 for size in (width_px, height_px))
    return int(wide), int(high)
