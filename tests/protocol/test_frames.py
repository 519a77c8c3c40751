"""Geometry and planes."""

import numpy as np
import pytest
from slipstream_protocol.arena import largest_geometry
from slipstream_protocol.clock import ns_to_rtp, rtp_to_ns
from slipstream_protocol.frames import FrameSize, Geometry, i420_planes


def test_sizes_follow_from_the_picture() -> None:
    """a slot holds the largest chunk there is."""
    geometry = Geometry(width_px=256, height_px=192, first_chunk_frames=5, chunk_frames=4)
    assert geometry.frame_shape == (288, 256)
    assert geometry.slot_bytes == 5 * 256 * 192 * 3 // 2
    assert [geometry.frames_of(chunk) for chunk in range(3)] == [5, 4, 4]


@pytest.mark.parametrize(("width_px", "height_px"), [(255, 192), (256, 191), (0, 2), (-2, 2)])
def test_odd_sizes_are_refused(width_px: int, height_px: int) -> None:
    """4:2:0 has no odd pictures."""
    with pytest.raises(ValueError, match=r"it must be even and at least 2"):
        Geometry(width_px=width_px, height_px=height_px, first_chunk_frames=5, chunk_frames=4)


def test_planes_are_views_in_ffmpeg_order() -> None:
    """Y, then U, then V, each without a copy."""
    frame = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4)
    luma, u, v = i420_planes(frame)
    assert luma.shape == (4, 4)
    assert u.tolist() == [[16, 17], [18, 19]]
    assert v.tolist() == [[20, 21], [22, 23]]
    v[0, 0] = 99
    assert frame[5, 0] == 99


def test_the_size_of_a_frame_is_read_off_its_array() -> None:
    """and one that is no I420 picture is named with the rule."""
    assert FrameSize.of(np.zeros((6, 8), np.uint8)) == FrameSize(8, 4)
    assert FrameSize.of(np.zeros((5, 12, 4), np.uint8)) == FrameSize(4, 8)
    for rows, dtype in ((4, np.uint8), (6, np.uint16)):
        with pytest.raises(ValueError, match="it must be uint8, I420"):
            FrameSize.of(np.zeros((rows, 4), dtype))
    with pytest.raises(ValueError, match="height_px is 3, it must be even"):
        FrameSize(4, 3)


def test_the_same_chunks_of_another_size() -> None:
    """have as many frames; the largest decides how much room a slot has."""
    geometry = Geometry(width_px=8, height_px=4, first_chunk_frames=5, chunk_frames=4)
    upright, small = FrameSize(4, 10), FrameSize(4, 4)
    assert geometry.at(upright).size == upright
    assert geometry.at(upright).slot_frames == 5
    assert largest_geometry(geometry, [small, upright]).size == upright
    assert largest_geometry(geometry, [small]) == geometry


def test_what_a_cut_leaves_of_a_picture() -> None:
    """all of one of the same aspect, the same share of a wider one and a narrower one."""
    size = FrameSize(8, 4)
    assert size.aspect == 2
    assert [size.kept_share(aspect) for aspect in (2, 4, 1)] == [1, 0.5, 0.5]


def test_rtp_time_is_ninety_to_the_millisecond() -> None:
    """the video clock of RFC 3551."""
    assert ns_to_rtp(1_000_000) == 90
    assert rtp_to_ns(90_000) == 1_000_000_000
