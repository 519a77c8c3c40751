"""Every frame's times, for the page to join with the frames it shows. Pure.

One record a frame, `RECORD`, little-endian, without padding; a message is some of them. The frame's
RTP timestamp identifies it. Times of ours are milliseconds on the server's monotonic clock.

    RTP timestamp          uint32
    captured, unix         float64   ms since 1970 on the camera side's own clock, when the frame
                                     was captured; NaN if not known
    arrived                float64   the camera's picture is decoded
    nine moments           float32   in ms after `arrived`: captured (as far as the server can
                                     tell), first packet, chunked, submitted, taken, generated,
                                     received, popped by the playout, sent
    three durations        float32   of its chunk in the engine: encode, denoise, decode
"""

import math
import struct
from dataclasses import dataclass
from typing import Protocol

from slipstream_protocol.clock import NS_PER_MS

from slipstream_server.frames.playout import ScheduledFrame

RECORD = struct.Struct("<Idd12f")
_BATCH_FRAMES = 4
_BATCH_NS = 150 * NS_PER_MS
_UNSENT_MAX_BYTES = 8 << 10  # some seconds of records: older ones are of no use


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """The times of one frame that was sent.

    Args:
        rtp_timestamp: of its packets.
        scheduled: the frame, with its stamps.
        sent_ns: when aiortc had sent its last packet.
    """

    rtp_timestamp: int
    scheduled: ScheduledFrame
    sent_ns: int

    def packed(self) -> bytes:
        """The record."""
        frame, stamps = self.scheduled.generated, self.scheduled.generated.stamps
        captured_unix_ns, first_packet_ns = frame.captured_unix_ns, frame.first_packet_ns
        moments_ns = (
            frame.captured_ns,
            frame.arrived_ns if first_packet_ns is None else first_packet_ns,
            stamps.chunked_ns,
            stamps.submitted_ns,
            stamps.taken_ns,
            stamps.generated_ns,
            stamps.received_ns,
            self.scheduled.popped_ns,
            self.sent_ns,
        )
        return RECORD.pack(
            self.rtp_timestamp,
            math.nan if captured_unix_ns is None else captured_unix_ns / NS_PER_MS,
            frame.arrived_ns / NS_PER_MS,
            *((moment_ns - frame.arrived_ns) / NS_PER_MS for moment_ns in moments_ns),
            stamps.stages.encode_ms,
            stamps.stages.denoise_ms,
            stamps.stages.decode_ms,
        )


class TimingBatch:
    """Gathers records into messages of some frames each.

    Args:
        max_frames: of a message.
        max_wait_ns: from a message's first frame to its last.
    """

    def __init__(self, *, max_frames: int = _BATCH_FRAMES, max_wait_ns: int = _BATCH_NS) -> None:
        self._max_frames = max_frames
        self._max_wait_ns = max_wait_ns
        self._records: list[bytes] = []
        self._since_ns = 0

    def add(self, times: FrameTimes) -> bytes | None:
        """The message that this record completes; None if it completes none."""
        if not self._records:
            self._since_ns = times.sent_ns
        self._records.append(times.packed())
        waited_ns = times.sent_ns - self._since_ns
        if len(self._records) < self._max_frames and waited_ns < self._max_wait_ns:
            return None
        message = b"".join(self._records)
        self._records.clear()
        return message


class OutgoingChannel(Protocol):
    """What is used of a data channel."""

    @property
    def readyState(self) -> str: ...

    @property
    def bufferedAmount(self) -> int: ...

    def send(self, data: str | bytes) -> None: ...


class TimingChannel:
    """Sends frames' times on an unreliable data channel; drops messages while its buffer is full.

    Args:
        channel: opened by the page.
    """

    def __init__(self, channel: OutgoingChannel) -> None:
        self.dropped_messages = 0
        self._channel = channel
        self._batch = TimingBatch()

    def send(self, times: FrameTimes) -> None:
        """Send the times of one frame, together with those of others."""
        if self._channel.readyState != "open":
            return
        message = self._batch.add(times)
        if message is None:
            return
        if self._channel.bufferedAmount > _UNSENT_MAX_BYTES:
            self.dropped_messages += 1
        else:
            self._channel.send(message)
