"""How large a camera's picture may be: announced, before it is decoded, and decoded. Pure."""

from slipstream_protocol.frames import Geometry

from slipstream_server.errors import CameraRefused
from slipstream_server.rtp.picture_size import PictureSize

MAX_PIXELS = 4096 * 2304
_MAX_SIDE_PX = 16384
# what a decoder keeps: the pictures of H.264 level 5.1 (table A-1, MaxDpbMbs of 256 pixels each)
_MAX_KEPT_PIXELS = 184_320 * 256
_MAX_ASPECT_RATIO = 6  # of a picture's aspect to the engine's; the excess is cut away


def check_announced(size: PictureSize) -> None:
    """Check that a picture is not too expensive to decode.

    Raises:
        CameraRefused: if it is too large, has no area, or needs too many others to be kept.
    """
    _check_area(size.width_px, size.height_px)
    _check_area(size.coded_width_px, size.coded_height_px)
    pixels = size.coded_width_px * size.coded_height_px
    if pixels * size.reference_frames > _MAX_KEPT_PIXELS:
        raise CameraRefused(
            f"the camera's pictures of {size.width_px}x{size.height_px} refer to "
            f"{size.reference_frames} others, at this size the most is "
            f"{_MAX_KEPT_PIXELS // pixels}; choose fewer reference frames, or another size"
        )


def check_size(width_px: int, height_px: int, geometry: Geometry) -> None:
    """Check that a picture is not too expensive to scale.

    Raises:
        CameraRefused: if the picture is too large, has no area, or is too narrow.
    """
    _check_area(width_px, height_px)
    wide, high = width_px * geometry.height_px, height_px * geometry.width_px
    if max(wide, high) > _MAX_ASPECT_RATIO * min(wide, high):
        raise CameraRefused(
            f"the camera's picture is {width_px}x{height_px}, its sides may be {_MAX_ASPECT_RATIO} "
            f"times as unequal as those of {geometry.width_px}x{geometry.height_px}; choose a size "
            "that is no stripe"
        )


def _check_area(width_px: int, height_px: int) -> None:
    is_side_right = 0 < width_px <= _MAX_SIDE_PX and 0 < height_px <= _MAX_SIDE_PX
    if not is_side_right or width_px * height_px > MAX_PIXELS:
        raise CameraRefused(
            f"the camera's picture is {width_px}x{height_px}, it must have up to {MAX_PIXELS} "
            "pixels; choose another size"
        )
