"""Every frame's life on the wire: what the page joins with what it shows. Pure.

One record a frame, `RECORD`, little-endian, without padding; a message is some of them. The frame's
RTP timestamp is its name. Times of ours are milliseconds on the server's monotonic clock.

    RTP timestamp          uint32
    filmed                 float64   ms since 1970 on the camera side's own clock; NaN if not known
    arrived                float64   the camera's picture is here and decoded
    nine moments           float32   in ms after `arrived`: captured (as far as the server can
                                     tell), came (its first packet), chunked, submitted, taken,
                                     made, received, played, sent
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
_UNSENT_MAX_BYTES = 8 << 10  # some seconds of it: what is older is of no use


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """One frame that has been sent.

    Args:
        rtp_timestamp: it went out with.
        scheduled: the frame, with its stamps.
        sent_ns: when its last packet was on its way.
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
    """Gathers records into messages: some frames each, none kept back for long."""

    def __init__(self, *, frames: int = _BATCH_FRAMES, longest_ns: int = _BATCH_NS) -> None:
        self._frames = frames
        self._longest_ns = longest_ns
        self._records: list[bytes] = []
        self._since_ns = 0

    def add(self, times: FrameTimes) -> bytes | None:
        """The message this record completes, if it does."""
        if not self._records:
            self._since_ns = times.sent_ns
        self._records.append(times.packed())
        waited_ns = times.sent_ns - self._since_ns
        if len(self._records) < self._frames and waited_ns < self._longest_ns:
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

    def send(self, data: bytes) -> None: ...


class TimingChannel:
    """Tells frames' times on a channel that may lose them; one that takes no more is skipped.

    Args:
        wire: opened by the page.
    """

    def __init__(self, wire: OutgoingChannel) -> None:
        self.dropped_messages = 0  # messages that found it full
        self._wire = wire
        self._batch = TimingBatch()

    def send(self, times: FrameTimes) -> None:
        """A frame has been sent."""
        if self._wire.readyState != "open":
            return
        message = self._batch.add(times)
        if message is None:
            return
        if self._wire.bufferedAmount > _UNSENT_MAX_BYTES:
            self.dropped_messages += 1
        else:
            self._wire.send(message)
