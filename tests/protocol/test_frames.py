"""Geometry and planes."""

import numpy as np
import pytest
from slipstream_protocol.clock import ns_to_rtp, rtp_to_ns
from slipstream_protocol.frames import Geometry, i420_planes


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


def test_a_frame_of_another_size_is_named() -> None:
    """the error says what came and what was wanted."""
    geometry = Geometry(width_px=4, height_px=4, first_chunk_frames=1, chunk_frames=1)
    with pytest.raises(ValueError, match=r"uint8 \(4, 4\), it must be uint8 \(6, 4\)"):
        geometry.check_frame(np.zeros((4, 4), np.uint8))


def test_rtp_time_is_ninety_to_the_millisecond() -> None:
    """the video clock of RFC 3551."""
    assert ns_to_rtp(1_000_000) == 90
    assert rtp_to_ns(90_000) == 1_000_000_000
