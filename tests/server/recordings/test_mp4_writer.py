"""Packets into files: each once, at its time; a part for each size."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.recordings.mp4_writer import Mp4Writer
from slipstream_server.recordings.plan import RecordingPlan
from slipstream_server.recordings.timeline import VideoPacket
from slipstream_server.send.h264 import X264, H264Encoder

FPS = 30
FRAMES = 20
SIZES_PX = ((64, 48), (96, 64), (64, 48))


def written(folder: Path, *, has_sound: bool = False) -> list[Path]:
    """A recording of `FRAMES` at each size, one after the other."""
    ends: list[str] = []
    plan = RecordingPlan(
        path_of=lambda part: folder / f"{part}.mp4", has_sound=has_sound, max_s=60, free_mib=0
    )
    writer = Mp4Writer(plan, on_end=ends.append)
    encoder = H264Encoder(X264, ceiling_bps=1_000_000)
    number = 0
    for width_px, height_px in SIZES_PX:
        for _ in range(FRAMES):
            rows = np.full((height_px * 3 // 2, width_px), 4 * number, np.uint8)
            frame = VideoFrame.from_ndarray(rows, format="yuv420p")
            frame.pts, frame.time_base = number * 90_000 // FPS, Fraction(1, 90_000)
            encoded = encoder.encode(frame, bitrate_bps=500_000, fps=FPS)
            assert writer.offer(
                VideoPacket(
                    data=bytes(encoded.packet),
                    is_key=encoded.is_key,
                    captured_ns=number * NS_PER_S // FPS,
                )
            )
            number += 1
    writer.start()
    writer.finish()
    writer.join(timeout=20)
    assert ends == [""]
    return sorted(folder.glob("*.mp4"))


def test_every_frame_is_in_a_part_of_its_size(tmp_path: Path) -> None:
    """once, in order, at its time; sound that never comes holds nothing up."""
    for has_sound in (False, True):
        folder = tmp_path / str(has_sound)
        folder.mkdir()
        parts = written(folder, has_sound=has_sound)
        assert len(parts) == len(SIZES_PX)
        for path, size_px in zip(parts, SIZES_PX, strict=True):
            with av.open(str(path)) as container:
                frames = list(container.decode(video=0))
            assert [(frame.width, frame.height) for frame in frames] == [size_px] * FRAMES
            times_s = [frame.time for frame in frames]
            assert np.allclose(times_s, np.arange(FRAMES) / FPS, atol=1e-3)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone/1.mp4", "No such file or directory"),
        ("/dev/full", "No space left on device"),
    ],
)
def test_what_cannot_be_written_ends_it_with_the_reason(
    tmp_path: Path, path: str, reason: str
) -> None:
    """as where the folder is gone, or the disk is full."""
    ends: list[str] = []
    plan = RecordingPlan(path_of=lambda _: tmp_path / path, has_sound=False, max_s=60, free_mib=0)
    writer = Mp4Writer(plan, on_end=ends.append)
    writer.offer(VideoPacket(data=key_frame(), is_key=True, captured_ns=0))
    writer.start()
    writer.finish()
    writer.join(timeout=20)
    assert ends == [f"the disk takes no more of the recording: {reason}"]


def key_frame() -> bytes:
    encoder = H264Encoder(X264, ceiling_bps=1_000_000)
    frame = VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), format="yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 90_000)
    return bytes(encoder.encode(frame, bitrate_bps=500_000, fps=FPS).packet)
