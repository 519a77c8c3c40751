"""When a camera frame was captured: on our clock, estimated; on the sender's, as it reports. Pure.

Our clock: RTP times are exact against each other but have no common zero with our clock. Arrivals
are on our clock but carry the delays of the network and of the decoder. The fastest arrival of late
is the best estimate of the offset: every other frame came later than it was sent, none sooner.

The sender's clock: a sender report (RFC 3550, section 6.4.1) says which RTP time it was at which
moment of the sender's clock. Browsers count RTP time from a frame's capture, so one report gives
the capture time of every frame, to a millisecond. Only the sender can turn that into an age, and
the page does.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, RTP_HZ
from slipstream_protocol.colours import DeclaredColours

from slipstream_server.rtp.ntp import ntp_to_unix_ns

_OFFSET_RISE_NS_PER_S = 1 * NS_PER_MS
_OFFSET_JUMP_NS = 1 * NS_PER_S

_CYCLE = 1 << 32
_REPORT_VALID_NS = 30 * NS_PER_S  # for frames captured so long before or after it
_REMEMBERED_FRAMES = 128

Value = TypeVar("Value")


class CaptureClock:
    """Puts RTP times of one track on the machine's monotonic clock.

    The offset falls at once when a frame comes faster than any before. Otherwise it rises by a
    millisecond a second, which follows a drifting camera clock and a route that has become longer.
    A jump of more than a second is a new source: the offset is measured anew.

    Args:
        rtp_hz: ticks of the track's RTP clock in a second.
    """

    def __init__(self, rtp_hz: int = RTP_HZ) -> None:
        self._rtp_hz = rtp_hz
        self._offset_ns: int | None = None
        self._arrived_ns = 0

    def captured_ns(self, pts: int, arrived_ns: int) -> int:
        """The capture time of a frame, or of a packet of sound, never later than its arrival.

        Args:
            pts: its RTP time, in ticks since the track began.
            arrived_ns: when it had come, a picture decoded, on the monotonic clock.
        """
        pts_ns = pts * NS_PER_S // self._rtp_hz
        measured_ns = arrived_ns - pts_ns
        if self._offset_ns is None or abs(measured_ns - self._offset_ns) > _OFFSET_JUMP_NS:
            self._offset_ns = measured_ns
        else:
            elapsed_ns = max(0, arrived_ns - self._arrived_ns)
            risen_ns = self._offset_ns + elapsed_ns * _OFFSET_RISE_NS_PER_S // NS_PER_S
            self._offset_ns = min(risen_ns, measured_ns)
        self._arrived_ns = arrived_ns
        return pts_ns + self._offset_ns


class SenderClock:
    """Puts RTP times of one stream on its sender's own clock, by the last sender report.

    Args:
        rtp_hz: ticks of the stream's RTP clock in a second.
    """

    def __init__(self, rtp_hz: int = RTP_HZ) -> None:
        self._rtp_hz = rtp_hz
        self._report: tuple[int, int] | None = None  # since 1970 in ns, RTP timestamp

    def on_report(self, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """A sender report has come; its two clocks as they stand in the packet."""
        self._report = ntp_to_unix_ns(ntp_timestamp), rtp_timestamp

    def unix_ns(self, timestamp: int) -> int | None:
        """The moment of an RTP timestamp since 1970; None where no report is near it."""
        if self._report is None:
            return None
        unix_ns, reported = self._report
        ticks = (timestamp - reported + _CYCLE // 2) % _CYCLE - _CYCLE // 2
        since_ns = ticks * NS_PER_S // self._rtp_hz
        return unix_ns + since_ns if abs(since_ns) < _REPORT_VALID_NS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOrigin:
    """What is known of a camera frame before it was decoded.

    Args:
        first_packet_ns: when its first packet came, on our monotonic clock.
        captured_unix_ns: when it was captured on the sender's own clock, since 1970; None before
            the sender has sent a report.
        colours: as the sender says beside the picture; None where it says nothing.
    """

    first_packet_ns: int
    captured_unix_ns: int | None
    colours: DeclaredColours | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Released:
    timestamp: int
    first_packet_ns: int
    colours: DeclaredColours | None


class FrameOrigins:
    """The origins of the frames of one RTP stream. Bounded: the last 128 frames are kept.

    The order of calls, for each frame: `on_packet` for each of its packets, `on_release` when it is
    whole, `origin_of` when its picture is decoded.
    """

    def __init__(self) -> None:
        self._first_packet_ns: OrderedDict[int, int] = OrderedDict()  # by RTP timestamp
        self._said: OrderedDict[int, DeclaredColours] = OrderedDict()  # by RTP timestamp
        self._colours: DeclaredColours | None = None  # of the frame released last
        self._released: OrderedDict[int, _Released] = OrderedDict()  # by pts
        self._sender_clock = SenderClock()

    def on_packet(
        self, timestamp: int, now_ns: int, *, colours: DeclaredColours | None = None
    ) -> None:
        """A packet of the frame with this RTP timestamp has come, and may say its colours."""
        _remember(self._first_packet_ns, timestamp, self._first_packet_ns.get(timestamp, now_ns))
        if colours is not None:
            _remember(self._said, timestamp, colours)

    def on_sender_report(self, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """As `SenderClock.on_report`."""
        self._sender_clock.on_report(ntp_timestamp, rtp_timestamp)

    def on_release(self, timestamp: int, pts: int, *, is_key: bool = False) -> None:
        """The frame goes to the decoder; its picture will carry `pts`.

        Args:
            is_key: what was said of colours before it does not hold for it.
        """
        self._colours = self._said.pop(timestamp, None if is_key else self._colours)
        first_packet_ns = self._first_packet_ns.pop(timestamp, None)
        if first_packet_ns is not None:
            released = _Released(
                timestamp=timestamp, first_packet_ns=first_packet_ns, colours=self._colours
            )
            _remember(self._released, pts, released)

    def origin_of(self, pts: int) -> FrameOrigin | None:
        """The origin of the picture with this pts; None if it is not one of the last frames."""
        released = self._released.get(pts)
        if released is None:
            return None
        return FrameOrigin(
            first_packet_ns=released.first_packet_ns,
            captured_unix_ns=self._sender_clock.unix_ns(released.timestamp),
            colours=released.colours,
        )


def _remember(kept: "OrderedDict[int, Value]", key: int, value: Value) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED_FRAMES:
        kept.popitem(last=False)
