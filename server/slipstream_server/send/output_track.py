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

OnSent = Callable[[ScheduledFrame, int], None]
"""Called with each frame sent, and when, in ns on the monotonic clock."""


class PlayoutSource:
    """Generated frames, each when it is due, as pictures with that time.

    Args:
        playout: decides when.
    """

    def __init__(self, playout: Playout) -> None:
        self.playout = playout
        self._first_play_ns: int | None = None
        self._changed = asyncio.Event()
        self._is_stopped = False

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        self.playout.push(frames, now_ns())
        self._changed.set()

    def stop(self) -> None:
        """Let `next_frame` raise."""
        self._is_stopped = True
        self._changed.set()

    async def next_frame(self) -> ScheduledFrame:
        """The next frame, when it is due.

        Raises:
            MediaStreamError: if stopped.
        """
        while not self._is_stopped:
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

    def picture_of(self, scheduled: ScheduledFrame) -> VideoFrame:
        """The frame as a picture; its pts counts from the first one."""
        if self._first_play_ns is None:
            self._first_play_ns = scheduled.play_ns
        picture = to_video_frame(scheduled.generated.frame)
        picture.pts = ns_to_rtp(scheduled.play_ns - self._first_play_ns)
        picture.time_base = VIDEO_TIME_BASE
        return picture


class SentReporter:
    """Reports each frame of a track once it was sent.

    aiortc requests a frame, sends it, and requests the next one: only that next request shows that
    the frame before was sent.

    Args:
        on_sent: called with each frame.
    """

    def __init__(self, on_sent: OnSent) -> None:
        self._on_sent = on_sent
        self._handed_over: ScheduledFrame | None = None

    def on_request(self) -> None:
        """aiortc requests a frame: the one handed over before was sent."""
        if self._handed_over is not None:
            sent, self._handed_over = self._handed_over, None
            self._on_sent(sent, now_ns())

    def hand_over(self, scheduled: ScheduledFrame) -> None:
        """The frame that answers this request."""
        self._handed_over = scheduled


class OutputTrack(MediaStreamTrack):
    """The picture of one viewer alone: waits until a frame is due, and encodes it.

    Args:
        playout, encoding: of this viewer.
        on_sent: called with each frame sent.
    """

    kind = "video"

    def __init__(self, playout: Playout, encoding: AdaptiveEncoder, *, on_sent: OnSent) -> None:
        super().__init__()
        self.playout = playout
        self.encoding = encoding
        self._source = PlayoutSource(playout)
        self._reporter = SentReporter(on_sent)

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        self._source.push(frames)

    async def recv(self) -> "VideoFrame | Packet[Any]":
        """The next frame, when it is due: encoded, or as it is where the viewer takes no H.264.

        Raises:
            MediaStreamError: if the track was stopped.
        """
        self._reporter.on_request()
        scheduled = await self._source.next_frame()
        self._reporter.hand_over(scheduled)
        encoded = await self.encoding.encode(self._source.picture_of(scheduled))
        self.playout.every_frames = self.encoding.every_frames
        return encoded

    def stop(self) -> None:
        super().stop()
        self._source.stop()
        self.encoding.release()


def to_video_frame(frame: I420) -> VideoFrame:
    """The same pixels as a picture of PyAV's, without a copy if PyAV can."""
    if frame.shape[0] % 6:  # PyAV takes a height for a multiple of four, and loses two rows
        return VideoFrame.from_ndarray(frame, format="yuv420p")
    return VideoFrame.from_numpy_buffer(frame, format="yuv420p")
