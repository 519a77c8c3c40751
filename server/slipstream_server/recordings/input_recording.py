"""The pictures that a stream is made of, recorded beside it: encoded here, as nobody else does."""

import logging
import queue
import threading
from collections.abc import Callable

import av
from slipstream_protocol.clock import NS_PER_S, ns_to_rtp

from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.recordings.mp4_writer import Mp4Writer
from slipstream_server.recordings.plan import RecordingPlan
from slipstream_server.recordings.recording import RecordedSound
from slipstream_server.recordings.timeline import VideoPacket
from slipstream_server.send.encoder_context import TIME_BASE
from slipstream_server.send.h264 import X264, H264Encoder
from slipstream_server.send.output_track import to_video_frame

logger = logging.getLogger(__name__)

_BITRATE_BPS = 4_000_000
_QUEUE_FRAMES = 64  # two seconds; what a busy machine cannot encode is left out
_FPS_SHARE = 8  # a new interval moves the measured rate by one part in so many
_FIRST_FPS = 30.0


class InputRecording(threading.Thread):
    """Takes camera frames, encodes them in its own thread, and has them written.

    Args:
        plan: where it goes, and how far.
        on_end: called from a thread once all is written, with the reason if it was not asked for.

    Attributes:
        sound: takes the sound that goes with it.
    """

    def __init__(self, plan: RecordingPlan, *, on_end: Callable[[str], None]) -> None:
        super().__init__(name="input recording", daemon=True)
        self._writer = Mp4Writer(plan, on_end=on_end)
        self.sound = RecordedSound(self._writer)
        self._frames: queue.Queue[CapturedFrame | None] = queue.Queue(_QUEUE_FRAMES)
        self._encoder = H264Encoder(X264, ceiling_bps=_BITRATE_BPS)
        self._is_finishing = threading.Event()
        self._lacks_key = True
        self._fps = _FIRST_FPS
        self._captured_ns = 0
        self._writer.start()
        self.start()

    def push(self, frame: CapturedFrame) -> None:
        """Take in a frame; it is left out where too many wait."""
        if not self._frames.full():
            self._frames.put_nowait(frame)

    def finish(self) -> None:
        """Write what waits, and end."""
        self._is_finishing.set()
        if not self._frames.full():
            self._frames.put_nowait(None)  # wakes the thread

    def run(self) -> None:
        while not (self._is_finishing.is_set() and self._frames.empty()):
            frame = self._frames.get()
            if frame is None:
                continue
            try:
                self._encode(frame)
            except av.FFmpegError as error:
                logger.warning("the input's recording ends: %s", error)
                break
        self._writer.finish()

    def _encode(self, frame: CapturedFrame) -> None:
        spacing_ns = frame.captured_ns - self._captured_ns
        if spacing_ns <= 0:
            return
        if self._captured_ns:
            self._fps += (NS_PER_S / spacing_ns - self._fps) / _FPS_SHARE
        self._captured_ns = frame.captured_ns
        picture = to_video_frame(frame.frame)
        picture.pts, picture.time_base = ns_to_rtp(frame.captured_ns), TIME_BASE
        encoded = self._encoder.encode(
            picture, bitrate_bps=_BITRATE_BPS, fps=self._fps, force_key=self._lacks_key
        )
        packet = VideoPacket(
            data=bytes(encoded.packet), is_key=encoded.is_key, captured_ns=frame.captured_ns
        )
        self._lacks_key = not self._writer.offer(packet)
