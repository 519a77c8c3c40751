"""`send/sender_reports.py`: at which moment a receiver is told that a packet is due."""

import asyncio
from typing import Any

import pytest
from aiortc.rtp import AnyRtcpPacket, RtcpSenderInfo, RtcpSrPacket
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.rtp.ntp import ntp_to_unix_ns
from slipstream_server.send.sender_reports import SenderReports

NOW_NS, NOW_UNIX_NS = 1000 * NS_PER_S, 1_700_000_000 * NS_PER_S
NTP_TO_UNIX_S = 2_208_988_800


class Sender:
    """As aiortc's, as far as reports go."""

    def __init__(self) -> None:
        self.sent: list[AnyRtcpPacket] = []

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        self.sent += packets


def report(rtp_timestamp: int) -> RtcpSrPacket:
    """One of aiortc's, made now."""
    ntp = ((NOW_UNIX_NS // NS_PER_S + NTP_TO_UNIX_S) << 32) | 1
    info = RtcpSenderInfo(
        ntp_timestamp=ntp, rtp_timestamp=rtp_timestamp, packet_count=1, octet_count=1
    )
    return RtcpSrPacket(ssrc=1, sender_info=info)


@pytest.mark.parametrize("rtp_hz", [48_000, 90_000])
@given(timestamp=st.integers(0, 2**32 - 1), due_ms=st.integers(-5000, 5000))
def test_it_says_when_a_packet_is_due(rtp_hz: int, timestamp: int, due_ms: int) -> None:
    """whenever it was sent: by the report, the packet's RTP time is at the moment it is due."""
    sender: Any = Sender()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic_ns", lambda: NOW_NS)
        patch.setattr("time.time_ns", lambda: NOW_UNIX_NS)
        reports = SenderReports(sender, rtp_hz)
        asyncio.run(sender._send_rtcp([report(7)]))
        assert sender.sent == []  # nothing is known yet
        reports.note(timestamp, NOW_NS + due_ms * NS_PER_MS)
        asyncio.run(sender._send_rtcp([report(7)]))
    (said,) = sender.sent
    info = said.sender_info
    ticks = (timestamp - info.rtp_timestamp + 2**31) % 2**32 - 2**31
    due_unix_ns = ntp_to_unix_ns(info.ntp_timestamp) + ticks * NS_PER_S // rtp_hz
    assert abs(due_unix_ns - NOW_UNIX_NS - due_ms * NS_PER_MS) <= 2 * NS_PER_S // rtp_hz + 1
