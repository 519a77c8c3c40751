"""The generated picture as a track: each frame at its time, with that time as its RTP time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import VIDEO_TIME_BASE, MediaStreamError
from av import Packet, VideoFrame
from slipstream_protocol.clock import NS_PER_S, now_ns, ns_to_rtp
from slipstream_protocol.frames import I420

from slipstream_server.frames.playout import GeneratedFrame, Playout, ScheduledFrame
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder


class PlayoutSource:
    """Generated frames, each when it is due, as pictures with that time.

    Args:
        playout: decides when.
    """

    def __init__(self, playout: Playout) -> None:
        self.playout = playout
        self._first_play_ns: int | None = None
        self._changed = asyncio.Event()
        self._stopped = False

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        self.playout.push(frames, now_ns())
        self._changed.set()

    def stop(self) -> None:
        """Let `next` raise."""
        self._stopped = True
        self._changed.set()

    async def next(self) -> ScheduledFrame:
        """The next frame, when it is due.

        Raises:
            MediaStreamError: if stopped.
        """
        while not self._stopped:
            scheduled = self.playout.pop(now_ns())
            if scheduled is not None:
                return scheduled
            self._changed.clear()
            due_ns = self.playout.due_ns()
            wait_s = None if due_ns is None else max(0.0, (due_ns - now_ns()) / NS_PER_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        raise MediaStreamError

    def picture(self, scheduled: ScheduledFrame) -> VideoFrame:
        """Its picture; pts counts from the first one."""
        if self._first_play_ns is None:
            self._first_play_ns = scheduled.play_ns
        picture = to_video_frame(scheduled.generated.frame)
        picture.pts = ns_to_rtp(scheduled.play_ns - self._first_play_ns)
        picture.time_base = VIDEO_TIME_BASE
        return picture


class OutputTrack(MediaStreamTrack):
    """Waits until a frame is due, encodes it and hands it to aiortc.

    aiortc asks for a frame, sends it, and asks again: being asked means that the frame before is on
    its way, and that is when `on_sent` hears of it.

    Args:
        playout, encoding: of this viewer alone.
        on_sent: is told of each frame and of the time it was sent.
    """

    kind = "video"

    def __init__(
        self,
        playout: Playout,
        encoding: AdaptiveEncoder,
        *,
        on_sent: Callable[[ScheduledFrame, int], None],
    ) -> None:
        super().__init__()
        self.playout = playout
        self.encoding = encoding
        self._pictures = PlayoutSource(playout)
        self._on_sent = on_sent
        self._given: ScheduledFrame | None = None

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        self._pictures.push(frames)

    async def recv(self) -> "VideoFrame | Packet[Any]":
        """The next frame, when it is due: encoded, or as it is where the viewer takes no H.264.

        Raises:
            MediaStreamError: if the track was stopped.
        """
        if self._given is not None:
            given, self._given = self._given, None
            self._on_sent(given, now_ns())
        scheduled = await self._pictures.next()
        self._given = scheduled
        sent = await self.encoding.encode(self._pictures.picture(scheduled))
        self.playout.every_frames = self.encoding.every_frames
        return sent

    def stop(self) -> None:
        super().stop()
        self._pictures.stop()
        self.encoding.release()


def to_video_frame(frame: I420) -> VideoFrame:
    """The same pixels as a picture of PyAV's, where they lie if it can."""
    if frame.shape[0] % 6:  # PyAV takes a height for a multiple of four, and loses two rows
        return VideoFrame.from_ndarray(frame, format="yuv420p")
    return VideoFrame.from_numpy_buffer(frame, format="yuv420p")
