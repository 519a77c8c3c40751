"""One recording: takes a stream's packets on the event loop, and has them written."""

import asyncio
from collections.abc import Callable
from typing import Any

from av import Packet
from slipstream_protocol.clock import NS_PER_S

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.recordings.mp4_writer import Mp4Writer
from slipstream_server.recordings.plan import RecordingPlan
from slipstream_server.recordings.timeline import SoundPacket, VideoPacket
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.sound.delay_line import DueSound

_KEY_SPACING_NS = 2 * NS_PER_S  # of the key frames that it asks for


class RecordedSound:
    """The sound of a recording, as a receiver of a stream's."""

    def __init__(self, writer: Mp4Writer) -> None:
        self._writer = writer

    def push(self, due: DueSound) -> None:
        """Take in the next packet."""
        sound = due.sound
        self._writer.offer(
            SoundPacket(data=sound.payload, pts=sound.pts, captured_ns=sound.captured_ns)
        )


class StreamRecording:
    """A subscriber to a stream's H.264 that keeps it.

    Args:
        plan: where it goes, and how far.
        on_end: called once it has ended and all is written, with why if that was not asked for.
    """

    codec = "H264"
    rate: RateControl | None = None  # of no link

    def __init__(self, plan: RecordingPlan, *, on_end: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self._writer = Mp4Writer(plan, on_end=lambda reason: _call_in(loop, on_end, reason))
        self.sound = RecordedSound(self._writer)
        self._lacks_key = True
        self._asked_ns: int | None = None
        self._writer.start()

    def wants_key(self, now_ns: int) -> bool:
        """Whether to encode a key frame for it now."""
        if not self._lacks_key:
            return False
        if self._asked_ns is not None and now_ns - self._asked_ns < _KEY_SPACING_NS:
            return False
        self._asked_ns = now_ns
        return True

    def push(self, scheduled: ScheduledFrame, packet: "Packet[Any]", now_ns: int) -> None:
        """Take in a frame; one that is lost takes those up to the next key frame with it."""
        if self._lacks_key and not packet.is_keyframe:
            return
        is_taken = self._writer.offer(
            VideoPacket(
                data=bytes(packet),
                is_key=packet.is_keyframe,
                captured_ns=scheduled.generated.stands_for_ns,
            )
        )
        self._lacks_key = not is_taken

    def finish(self) -> None:
        """End it; `on_end` follows."""
        self._writer.finish()


def _call_in(loop: asyncio.AbstractEventLoop, on_end: Callable[[str], None], reason: str) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(on_end, reason)
