"""Sender reports (RFC 3550, section 6.4.1): at which moment what a packet brings is due.

By these a receiver puts sound and picture of one call together. aiortc's say when the last packet
was sent: a large frame later than a small one, and sound before it is due (`sound/delay_line.py`).
The corrected ones say of both when they are due, which is so long after they were captured.

Private names, on the sender before it is started: `_send_rtcp` is wrapped.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiortc import RTCRtpSender
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.rtp.aiortc_internals import get_private, replace_private
from slipstream_server.rtp.ntp import ntp_to_unix_ns

_CYCLE = 1 << 32
_SendRtcp = Callable[[list[AnyRtcpPacket]], Awaitable[None]]


class SenderReports:
    """Corrects the reports of one aiortc sender; before the first `note` they are left out.

    Args:
        sender: not started.
        rtp_hz: ticks of its RTP clock in a second.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.
    """

    def __init__(self, sender: RTCRtpSender, rtp_hz: int) -> None:
        self._rtp_hz = rtp_hz
        self._last: tuple[int, int] | None = None
        self._send: _SendRtcp = get_private(sender, "_send_rtcp")
        replace_private(sender, "_send_rtcp", self._send_rtcp)

    def note(self, rtp_timestamp: int, due_ns: int) -> None:
        """A packet with this timestamp was sent, which is due then, on the monotonic clock."""
        self._last = rtp_timestamp, due_ns

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        is_report = any(isinstance(packet, RtcpSrPacket) for packet in packets)
        if is_report and self._last is None:
            return
        await self._send([self._corrected(packet) for packet in packets])

    def _corrected(self, packet: AnyRtcpPacket) -> AnyRtcpPacket:
        """With the RTP time of what is due at its NTP time; that stays, as round trips are measured
        by it."""
        if not isinstance(packet, RtcpSrPacket) or self._last is None:
            return packet
        info, (rtp_timestamp, due_ns) = packet.sender_info, self._last
        reported_ns = ntp_to_unix_ns(info.ntp_timestamp) - (time.time_ns() - now_ns())
        ticks = (reported_ns - due_ns) * self._rtp_hz // NS_PER_S
        due_then = (rtp_timestamp + ticks) % _CYCLE
        return replace(packet, sender_info=replace(info, rtp_timestamp=due_then))
