"""How large a camera's picture may be: announced, before it is decoded, and decoded. Pure."""

from slipstream_protocol.frames import FrameSize

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
    check_area(size.width_px, size.height_px)
    check_area(size.coded_width_px, size.coded_height_px)
    pixels = size.coded_width_px * size.coded_height_px
    if pixels * size.reference_frames > _MAX_KEPT_PIXELS:
        raise CameraRefused(
            f"the camera's pictures of {size.width_px}x{size.height_px} refer to "
            f"{size.reference_frames} others, at this size the most is "
            f"{_MAX_KEPT_PIXELS // pixels}; choose fewer reference frames, or another size"
        )


def check_aspect(width_px: int, height_px: int, size: FrameSize) -> None:
    """Check that a picture is no stripe, most of which would be scaled in vain.

    Args:
        size: that it is scaled to.

    Raises:
        CameraRefused: if it is too narrow.
    """
    wide, high = width_px * size.height_px, height_px * size.width_px
    if max(wide, high) > _MAX_ASPECT_RATIO * min(wide, high):
        raise CameraRefused(
            f"the camera's picture is {width_px}x{height_px}, its sides may be {_MAX_ASPECT_RATIO} "
            f"times as unequal as those of {size}; choose a size that is no stripe"
        )


def check_area(width_px: int, height_px: int) -> None:
    """Check that a picture is not too expensive to scale.

    Raises:
        CameraRefused: if it is too large, or has no area.
    """
    is_side_right = 0 < width_px <= _MAX_SIDE_PX and 0 < height_px <= _MAX_SIDE_PX
    if not is_side_right or width_px * height_px > MAX_PIXELS:
        raise CameraRefused(
            f"the camera's picture is {width_px}x{height_px}, it must have up to {MAX_PIXELS} "
            "pixels; choose another size"
        )
