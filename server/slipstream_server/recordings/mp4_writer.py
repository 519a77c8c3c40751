"""Writes packets into fragmented MP4, in a thread of its own: disks may be slow, calls go on.

A fragment of a second is whole in itself, behind a header without any: whatever ends the process,
the file plays up to the last fragment (ISO/IEC 14496-12, section 8.8). Nothing is encoded again.
"""

import contextlib
import io
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from slipstream_protocol.clock import RTP_HZ

from slipstream_server.recordings.plan import RecordingPlan
from slipstream_server.recordings.timeline import RecordingTimeline, SoundPacket, VideoPacket
from slipstream_server.sound.delay_line import SOUND_HZ

logger = logging.getLogger(__name__)

_QUEUE_PACKETS = 1024  # a dozen seconds
_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",  # in us
    "flush_packets": "1",
}
# in us: a picture waits so long for sound that does not come
_CONTAINER_OPTIONS = {"max_interleave_delta": "1000000"}
_CHECK_S = 1.0
_MIB = 1 << 20


class Mp4Writer(threading.Thread):
    """Writes one recording, from `start` until `finish` or until it may not go on.

    Args:
        plan: where it goes, and how far.
        on_end: called from the thread once all is written, with the reason if it was not asked for.
    """

    def __init__(self, plan: RecordingPlan, *, on_end: Callable[[str], None]) -> None:
        super().__init__(name="recording", daemon=True)
        self._plan = plan
        self._on_end = on_end
        self._queue: queue.Queue[VideoPacket | SoundPacket | None] = queue.Queue(_QUEUE_PACKETS)
        self._is_finishing = threading.Event()
        self._timeline = RecordingTimeline()
        self._part = 0
        self._container: Any = None
        self._streams: dict[type, Any] = {}

    def offer(self, packet: VideoPacket | SoundPacket) -> bool:
        """Write a packet; False if too many wait, and it is lost."""
        try:
            self._queue.put_nowait(packet)
        except queue.Full:
            return False
        return True

    def finish(self) -> None:
        """Write what waits, and end."""
        self._is_finishing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)  # wakes the thread

    def run(self) -> None:
        try:
            reason = self._write_all()
        except (OSError, av.FFmpegError) as error:
            reason = f"the disk takes no more of the recording: {error.strerror or error}"
        try:
            self._close()
        except (OSError, av.FFmpegError) as error:
            reason = reason or f"the recording could not be ended: {error.strerror or error}"
        if reason:
            logger.warning("a recording has ended: %s", reason)
        self._on_end(reason)

    def _write_all(self) -> str:
        """Until there is a reason to end; empty where that was asked for."""
        began_s = checked_s = time.monotonic()
        while True:
            try:
                packet = self._queue.get(timeout=_CHECK_S)
            except queue.Empty:
                packet = None
            if packet is not None:
                self._write(packet)
            elif self._is_finishing.is_set() and self._queue.empty():
                return ""
            now_s = time.monotonic()
            if now_s - began_s > self._plan.max_s:
                return f"it has reached record_max_minutes, {self._plan.max_s / 60:g}"
            if now_s - checked_s >= _CHECK_S:
                checked_s = now_s
                free_mib = shutil.disk_usage(self._plan.path_of(1).parent).free // _MIB
                if free_mib < self._plan.free_mib:
                    return (
                        f"the disk has {free_mib} MiB left, record_free_mib is "
                        f"{self._plan.free_mib}; make room"
                    )

    def _write(self, packet: VideoPacket | SoundPacket) -> None:
        ticks = self._timeline.place(packet)
        if ticks is None:
            return
        if self._timeline.part != self._part:
            assert isinstance(packet, VideoPacket), "parts begin with a key frame"
            self._close()
            self._open(packet)
        stream = self._streams.get(type(packet))
        if stream is None:
            return
        copy: av.Packet[Any] = av.Packet(packet.data)
        copy.stream = stream
        copy.pts = copy.dts = ticks
        is_video = isinstance(packet, VideoPacket)
        copy.time_base = Fraction(1, RTP_HZ if is_video else SOUND_HZ)
        copy.is_keyframe = not isinstance(packet, VideoPacket) or packet.is_key
        self._container.mux(copy)

    def _open(self, first: VideoPacket) -> None:
        """Begin a part with its first key frame, whose parameter sets are those of the file."""
        self._part = self._timeline.part
        path = self._plan.path_of(self._part)
        self._container = av.open(
            str(path), "w", format="mp4", options=_OPTIONS, container_options=_CONTAINER_OPTIONS
        )
        with av.open(io.BytesIO(first.data), format="h264") as parsed:
            video = self._container.add_stream_from_template(parsed.streams.video[0])
        video.time_base = Fraction(1, RTP_HZ)
        self._streams = {VideoPacket: video}
        if self._plan.has_sound:
            sound = self._container.add_stream("libopus", rate=SOUND_HZ, layout="stereo")
            self._streams[SoundPacket] = sound

    def _close(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()
