"""Where each camera frame comes from: its first packet, and when it was filmed. Pure.

A sender report (RFC 3550, section 6.4.1) says which RTP time it was at which moment of the sender's
own clock. Browsers count RTP time from when a frame was filmed, so with one report the moment of
every frame is known, to a millisecond. It is on the sender's clock: only the sender can make an age
of it, and its page does.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from slipstream_protocol.clock import NS_PER_S, rtp_to_ns

_CYCLE = 1 << 32
_NTP_TO_UNIX_S = 2_208_988_800  # from 1900 to 1970
_TRUSTED_NS = 30 * NS_PER_S  # a report further away says nothing of a frame
_REMEMBERED_FRAMES = 128

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOrigin:
    """What is known of a frame's way here.

    Args:
        first_packet_ns: its first packet, on our monotonic clock.
        captured_unix_ns: on the sender's own clock, since 1970; None before it has sent a report.
    """

    first_packet_ns: int
    captured_unix_ns: int | None


class FrameOrigins:
    """The frames of one RTP stream on their way to the decoder.

    The order of calls, for each frame: `packet` for each of its packets, `released` when it is
    whole, `of` when its picture is there.
    """

    def __init__(self) -> None:
        self._came_ns: OrderedDict[int, int] = OrderedDict()  # by RTP timestamp
        self._released: OrderedDict[int, tuple[int, int]] = OrderedDict()  # by pts
        self._report: tuple[int, int] | None = None  # since 1970 in ns, RTP timestamp

    def packet(self, timestamp: int, now_ns: int) -> None:
        """A packet of the frame with this RTP timestamp has come."""
        _remember(self._came_ns, timestamp, self._came_ns.get(timestamp, now_ns))

    def report(self, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """A sender report has come; its two clocks as they stand in the packet."""
        since_1900_ns = ntp_timestamp * NS_PER_S >> 32
        self._report = since_1900_ns - _NTP_TO_UNIX_S * NS_PER_S, rtp_timestamp

    def released(self, timestamp: int, pts: int) -> None:
        """The frame goes to the decoder; its picture will carry `pts`."""
        first_packet_ns = self._came_ns.pop(timestamp, None)
        if first_packet_ns is not None:
            _remember(self._released, pts, (timestamp, first_packet_ns))

    def of(self, pts: int) -> FrameOrigin | None:
        """What is known of the picture with this pts; None if it is not one of the last."""
        released = self._released.get(pts)
        if released is None:
            return None
        timestamp, first_packet_ns = released
        return FrameOrigin(
            first_packet_ns=first_packet_ns, captured_unix_ns=self._filmed_unix_ns(timestamp)
        )

    def _filmed_unix_ns(self, timestamp: int) -> int | None:
        if self._report is None:
            return None
        unix_ns, reported = self._report
        since_ns = rtp_to_ns((timestamp - reported + _CYCLE // 2) % _CYCLE - _CYCLE // 2)
        return unix_ns + since_ns if abs(since_ns) < _TRUSTED_NS else None


def _remember(kept: "OrderedDict[int, Value]", key: int, value: Value) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED_FRAMES:
        kept.popitem(last=False)
