"""When a packet of sound was captured, on the clock that pictures are captured on. Pure.

Sound and pictures of one caller come by different ways, and each way's delay would be taken for a
part of its capture time. Where the sender reports both on its own clock (RFC 3550, section 6.4.1),
sound is put where that clock says it belongs among the pictures; else, and where a report cannot be
true, by its own arrival.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.receive.capture_time import CaptureClock
from slipstream_server.receive.incoming_stream import Timeline
from slipstream_server.sound.delay_line import SOUND_HZ, TimedSound

_PLAUSIBLE_NS = 2 * NS_PER_S  # between what a report says and the arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSound:
    """A packet as it has come.

    Args:
        payload: of Opus.
        source: the number of its stream (SSRC).
        timestamp: of RTP, in 48 kHz, of 32 bits.
        arrived_ns: on the monotonic clock.
        captured_unix_ns: when it was captured on the sender's own clock, since 1970; None before
            the sender has sent a report.
    """

    payload: bytes
    source: int
    timestamp: int
    arrived_ns: int
    captured_unix_ns: int | None


class SoundTimes:
    """The times of a stream's sound, whoever sends it."""

    def __init__(self) -> None:
        self._timeline = Timeline(SOUND_HZ)
        self._clock = CaptureClock(SOUND_HZ)
        self._offset_ns: int | None = None  # from the sender's clock to when pictures are captured

    def on_picture(self, *, captured_ns: int, captured_unix_ns: int | None) -> None:
        """A picture has come that was captured then: on our clock, and on its sender's."""
        self._offset_ns = None if captured_unix_ns is None else captured_ns - captured_unix_ns

    def timed(self, received: ReceivedSound) -> TimedSound:
        """The packet with its times; those of one source mostly come in order."""
        arrived_ns, unix_ns = received.arrived_ns, received.captured_unix_ns
        pts = self._timeline.pts(received.source, received.timestamp, arrived_ns)
        captured_ns = self._clock.captured_ns(pts, arrived_ns)
        if unix_ns is not None and self._offset_ns is not None:
            reported_ns = unix_ns + self._offset_ns
            if abs(reported_ns - captured_ns) < _PLAUSIBLE_NS:
                captured_ns = reported_ns
        return TimedSound(payload=received.payload, pts=pts, captured_ns=captured_ns)
