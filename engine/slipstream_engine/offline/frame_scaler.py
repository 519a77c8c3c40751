"""Makes the frames of a file into those of the model: upright, of one size, in its colours.

H height, W width.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from slipstream_protocol.colours import Matrix, SourceColours, declared_colours, film_colours
from slipstream_protocol.frames import I420, i420_planes

from slipstream_engine.offline.tone_map import tone_map

# what the scaler makes of white of ten bits in codes of 16
_LIMITED_WHITE, _FULL_WHITE = 255 << 8, 1023 << 6


class FrameScaler:
    """Makes I420 frames of one size: upright, scaled to cover it, cropped to the centre.

    The colours are the engine's (`slipstream_protocol/colours.py`); high dynamic range is mapped to
    a screen's.

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
        colours = film_colours(declared_colours(frame), lines=frame.height)
        if colours.hdr is not None:
            scaled = self._mapped(frame, colours, cover_px)
        else:
            scaled = self._scaled(frame, colours, cover_px)
        out: I420 = np.empty((self._size_px[1] * 3 // 2, self._size_px[0]), np.uint8)
        for shift, plane, target in zip((0, 1, 1), scaled.planes, i420_planes(out), strict=True):
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            top = (cover_px[1] - height_px) // 4 * 2 >> shift
            left = (cover_px[0] - width_px) // 4 * 2 >> shift
            rows, columns = height_px >> shift, width_px >> shift
            target[:] = np.rot90(pixels[top : top + rows, left : left + columns], quarter_turns)
        return out

    def _scaled(
        self, frame: av.VideoFrame, colours: SourceColours, size_px: tuple[int, int]
    ) -> av.VideoFrame:
        """A frame of standard range; by way of RGB of ten bits where its matrix is another, since
        swscale's own way, by RGB of eight, makes grey two levels darker."""
        is_same = colours.matrix is Matrix.BT_601
        scaled = self._reformatter.reformat(
            frame,
            width=size_px[0],
            height=size_px[1],
            format="yuv420p" if is_same else "gbrp10le",
            src_colorspace=colours.matrix,
            dst_colorspace=Matrix.BT_601 if is_same else None,
            src_color_range=_range_of(colours),
            dst_color_range=ColorRange.MPEG if is_same else ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC,
        )
        return scaled if is_same else self._screen_coded(scaled)

    def _mapped(
        self, frame: av.VideoFrame, colours: SourceColours, size_px: tuple[int, int]
    ) -> av.VideoFrame:
        """A frame of high dynamic range in a screen's, scaled; by way of RGB of 16 bits."""
        assert colours.hdr is not None, "others are not mapped"
        deep = self._reformatter.reformat(
            frame,
            width=size_px[0],
            height=size_px[1],
            format="rgb48le",
            src_colorspace=colours.matrix,
            src_color_range=_range_of(colours),
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC,
        )
        mapped = tone_map(
            np.asarray(deep.to_ndarray(), np.uint16),
            colours.hdr,
            int(frame.color_primaries),
            white=_FULL_WHITE if colours.is_full_range else _LIMITED_WHITE,
        )
        return self._screen_coded(av.VideoFrame.from_ndarray(mapped, "rgb24"))

    def _screen_coded(self, rgb: av.VideoFrame) -> av.VideoFrame:
        return self._from_rgb.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=Matrix.BT_601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )


def _range_of(colours: SourceColours) -> ColorRange:
    return ColorRange.JPEG if colours.is_full_range else ColorRange.MPEG


def _covering_size_px(
    width_px: int | Fraction, height_px: int, target_width_px: int, target_height_px: int
) -> tuple[int, int]:
    """The smallest even size of the same aspect that covers the target."""
    scale = max(target_width_px / Fraction(width_px), Fraction(target_height_px, height_px))
    wide, high = (-(-size * scale // 2) * 2 for size in (width_px, height_px))
    return int(wide), int(high)
