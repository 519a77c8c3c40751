"""The generated picture as a track: each frame at its time, with that time as its RTP time."""

import asyncio
from collections.abc import Callable, Sequence

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import VIDEO_TIME_BASE, MediaStreamError
from av import VideoFrame
from slipstream_protocol.clock import NS_PER_S, now_ns, ns_to_rtp

from slipstream_server.playout import Made, Playout, Shown

_RTP_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"


class OutputTrack(MediaStreamTrack):
    """Sleeps until a frame is due and hands it to aiortc's encoder.

    aiortc asks for a frame, encodes it, sends it, and asks again: being asked means that the frame
    before is on its way, and that is when `on_sent` hears of it.

    Args:
        playout: of this viewer alone.
        on_sent: is told of each frame and of the time it was sent.
    """

    kind = "video"

    def __init__(self, playout: Playout, *, on_sent: Callable[[Shown, int], None]) -> None:
        super().__init__()
        self.playout = playout
        self._on_sent = on_sent
        self._given: Shown | None = None
        self._first_play_ns: int | None = None
        self._changed = asyncio.Event()

    def push(self, frames: Sequence[Made]) -> None:
        """Take in one chunk, oldest frame first."""
        self.playout.push(frames, now_ns())
        self._changed.set()

    async def recv(self) -> VideoFrame:
        """The next frame, when it is due.

        Raises:
            MediaStreamError: if the track was stopped.
        """
        if self._given is not None:
            given, self._given = self._given, None
            self._on_sent(given, now_ns())
        shown = await self._next()
        self._given = shown
        return self._picture(shown)

    def stop(self) -> None:
        super().stop()
        self._changed.set()

    async def _next(self) -> Shown:
        while self.readyState == "live":
            shown = self.playout.pop(now_ns())
            if shown is not None:
                return shown
            self._changed.clear()
            due_ns = self.playout.due_ns()
            wait_s = None if due_ns is None else max(0.0, (due_ns - now_ns()) / NS_PER_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
        raise MediaStreamError

    def _picture(self, shown: Shown) -> VideoFrame:
        if self._first_play_ns is None:
            self._first_play_ns = shown.play_ns
        picture = VideoFrame.from_ndarray(shown.made.frame, format="yuv420p")
        picture.pts = ns_to_rtp(shown.play_ns - self._first_play_ns)
        picture.time_base = VIDEO_TIME_BASE
        return picture


def last_rtp_timestamp(sender: RTCRtpSender) -> int:
    """The RTP time of the last packet `sender` has sent.

    aiortc adds a random origin to every pts and keeps the sum to itself, for its sender reports.
    """
    timestamp: int = getattr(sender, _RTP_TIMESTAMP)
    return timestamp
