"""The probe's camera: pictures of an exact rate, each with its number in its pixels."""

import asyncio
import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from aiortc import VideoStreamTrack
from av import VideoFrame
from slipstream_protocol.clock import NS_PER_S, RTP_HZ, now_ns
from slipstream_protocol.frames import I420

from slipstream_server.probe.marker import NUMBERS, draw_marker

_REMEMBERED_FRAMES = 4096  # two minutes at 30 fps: what is older is no picture of a live call
_SCENE_FRAMES = 60


class MarkedCamera(VideoStreamTrack):
    """A camera whose every picture carries its number.

    Args:
        pictures: I420 frames, shown over and over.
        fps: the rate.
    """

    def __init__(self, pictures: Sequence[I420], *, fps: int) -> None:
        super().__init__()
        self._pictures = itertools.cycle(pictures)
        self._fps = fps
        self.sent_frames = 0
        self._began_ns: int | None = None
        self._drawn_ns: dict[int, int] = {}

    def drawn_ns(self, number: int) -> int | None:
        """When the newest picture with this number was drawn; None if not lately."""
        return self._drawn_ns.get(number)

    async def recv(self) -> VideoFrame:
        if self._began_ns is None:
            self._began_ns = now_ns()
        due_ns = self._began_ns + self.sent_frames * NS_PER_S // self._fps
        await asyncio.sleep(max(0, due_ns - now_ns()) / NS_PER_S)
        picture = next(self._pictures).copy()
        number = self.sent_frames % NUMBERS
        draw_marker(picture[: picture.shape[0] * 2 // 3], number)
        frame = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = self.sent_frames * RTP_HZ // self._fps
        frame.time_base = Fraction(1, RTP_HZ)
        self._drawn_ns[number] = now_ns()
        if len(self._drawn_ns) > _REMEMBERED_FRAMES:
            del self._drawn_ns[next(iter(self._drawn_ns))]
        self.sent_frames += 1
        return frame


def moving_scene(*, width_px: int, height_px: int) -> list[I420]:
    """Pictures for a camera that is none: a disc goes its way over a ramp, and comes back."""
    y, x = np.mgrid[0:height_px, 0:width_px]
    ramp = 50 + 60 * x // width_px + 60 * y // height_px
    pictures = []
    for at in range(_SCENE_FRAMES):
        turn = 2 * np.pi * at / _SCENE_FRAMES
        centre_x, centre_y = width_px * (0.5 + 0.3 * np.cos(turn)), height_px * 0.7
        is_disc = np.hypot(x - centre_x, y - centre_y) < height_px / 6
        picture = np.full((height_px * 3 // 2, width_px), 128, np.uint8)
        picture[:height_px] = np.where(is_disc, 205, ramp)
        pictures.append(picture)
    return pictures
