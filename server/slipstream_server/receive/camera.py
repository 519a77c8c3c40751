"""The camera's track: read at once, cropped and scaled to the engine's size, stamped."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from slipstream_protocol.clock import now_ns
from slipstream_protocol.colours import (
    DeclaredColours,
    Matrix,
    SourceColours,
    declared_colours,
    live_colours,
)
from slipstream_protocol.frames import I420, FrameSize, i420_planes

from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.receive.capture_time import CaptureClock, FrameOrigin
from slipstream_server.receive.picture_limits import check_area, check_aspect

logger = logging.getLogger(__name__)

_UNSCALED_MAX_FRAMES = 4  # decoded frames that may wait for the scaler; more would only be old


class VideoSource(Protocol):
    """What is read of a received track; `recv` raises MediaStreamError at its end."""

    async def recv(self) -> Any: ...


class CameraScaler:
    """Scales a camera frame to just cover the engine's, and keeps the middle. I420 to I420, in the
    colours of the engine.

    Not for two threads at once: swscale's context is kept from frame to frame.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._from_rgb = VideoReformatter()
        self._is_hdr_said = False

    def __call__(
        self, frame: VideoFrame, size: FrameSize, said: DeclaredColours | None = None
    ) -> I420:
        """The frame for the engine, of that size.

        Args:
            said: its colours by its sender's word, which goes before what the decoder finds.
        """
        width_px, height_px = cover_px(frame.width, frame.height, size)
        colours = live_colours(said or declared_colours(frame))
        if colours.hdr is not None and not self._is_hdr_said:
            self._is_hdr_said = True
            logger.warning(
                "the camera's picture is in %s, of high dynamic range, and is not mapped to a "
                "screen's: it looks pale; choose a standard range, Rec. 709, at its sender",
                colours.hdr.name,
            )
        scaled = self._scaled(frame, colours, width_px, height_px)
        out: I420 = np.empty(size.frame_shape, np.uint8)
        left_px = (width_px - size.width_px) // 4 * 2
        top_px = (height_px - size.height_px) // 4 * 2
        for shift, plane, target in zip((0, 1, 1), scaled.planes, i420_planes(out), strict=True):
            pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(
                plane.height, plane.line_size
            )
            top, left = top_px >> shift, left_px >> shift
            rows, columns = target.shape
            target[:] = pixels[top : top + rows, left : left + columns]
        return out

    def _scaled(
        self, frame: VideoFrame, colours: SourceColours, width_px: int, height_px: int
    ) -> VideoFrame:
        """The whole frame in BT.601, limited range; in one pass where its matrix is that already.

        Else by way of RGB of ten bits, at the new size: swscale's own way from matrix to matrix
        takes as long, goes by RGB of eight, and makes grey two levels darker.
        """
        is_same = colours.matrix is Matrix.BT_601
        scaled = self._reformatter.reformat(
            frame,
            width=width_px,
            height=height_px,
            format="yuv420p" if is_same else "gbrp10le",
            src_colorspace=colours.matrix,
            dst_colorspace=Matrix.BT_601 if is_same else None,
            src_color_range=ColorRange.JPEG if colours.is_full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG if is_same else ColorRange.JPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        if is_same:
            return scaled
        return self._from_rgb.reformat(
            scaled,
            format="yuv420p",
            dst_colorspace=Matrix.BT_601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


def cover_px(width_px: int, height_px: int, size: FrameSize) -> tuple[int, int]:
    """The even size of a picture's aspect that just covers a frame of the engine's."""
    if width_px * size.height_px >= height_px * size.width_px:
        wide = -(-width_px * size.height_px // height_px)
        return wide + wide % 2, size.height_px
    high = -(-height_px * size.width_px // width_px)
    return size.width_px, high + high % 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _DecodedFrame:
    """A decoded picture that waits for the scaler."""

    frame: VideoFrame
    size: FrameSize  # that it is scaled to
    captured_ns: int
    arrived_ns: int
    origin: FrameOrigin | None


class CameraIngest:
    """Reads a track for as long as it lasts: run `drain` and `scale` as two tasks.

    Drops are counted by cause: `unreadable` are no pictures or have no pts, `unscaled` had waited
    for the scaler when too many newer ones came.

    Args:
        track: of the camera.
        size_for: the size that a picture of that width and height is scaled to, at that time.
        pool: where frames are scaled, one of this track at a time.
        on_frame: called with each frame, in the camera's order.
        frame_origin: the origin of the picture with a pts, None where it is not known.
    """

    def __init__(
        self,
        track: VideoSource,
        *,
        size_for: Callable[[int, int, int], FrameSize],
        pool: Executor,
        on_frame: Callable[[CapturedFrame], None],
        frame_origin: Callable[[int], FrameOrigin | None] = lambda pts: None,
    ) -> None:
        self.drops: Counter[str] = Counter()
        self._track = track
        self._size_for = size_for
        self._scale = CameraScaler()
        self._pool = pool
        self._on_frame = on_frame
        self._frame_origin = frame_origin
        self._clock = CaptureClock()
        self._unscaled: deque[_DecodedFrame] = deque()
        self._has_frames = asyncio.Event()

    async def drain(self) -> None:
        """Take every frame off the track as soon as it comes, and stamp it.

        Raises:
            MediaStreamError: when the track has ended.
            CameraRefused: if its pictures are of a size that is refused.
        """
        while True:
            frame = await self._track.recv()
            arrived_ns = now_ns()
            if not isinstance(frame, VideoFrame) or frame.pts is None:
                self.drops["unreadable"] += 1
                continue
            check_area(frame.width, frame.height)
            size = self._size_for(frame.width, frame.height, arrived_ns)
            check_aspect(frame.width, frame.height, size)
            if len(self._unscaled) == _UNSCALED_MAX_FRAMES:
                self._unscaled.popleft()
                self.drops["unscaled"] += 1
            captured_ns = self._clock.captured_ns(frame.pts, arrived_ns)
            origin = self._frame_origin(frame.pts)
            self._unscaled.append(
                _DecodedFrame(
                    frame=frame,
                    size=size,
                    captured_ns=captured_ns,
                    arrived_ns=arrived_ns,
                    origin=origin,
                )
            )
            self._has_frames.set()

    async def scale(self) -> None:
        """Scale the frames that wait, off the event loop, and pass them on."""
        loop = asyncio.get_running_loop()
        while True:
            await self._has_frames.wait()
            self._has_frames.clear()
            while self._unscaled:
                decoded = self._unscaled.popleft()
                origin = decoded.origin
                said = origin.colours if origin else None
                frame = await loop.run_in_executor(
                    self._pool, self._scale, decoded.frame, decoded.size, said
                )
                self._on_frame(
                    CapturedFrame(
                        frame=frame,
                        captured_ns=decoded.captured_ns,
                        arrived_ns=decoded.arrived_ns,
                        first_packet_ns=origin.first_packet_ns if origin else None,
                        captured_unix_ns=origin.captured_unix_ns if origin else None,
                    )
                )
