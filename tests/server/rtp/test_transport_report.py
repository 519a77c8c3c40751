"""Reports of arrival are read as they were written, and broken ones harm nobody."""

import contextlib
import struct

import pytest
from aiortc.rtp import RTCP_RTPFB, RtcpRrPacket, pack_rtcp_packet
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS
from slipstream_server.receive.transport_feedback import TransportFeedback
from slipstream_server.rtp.transport_report import (
    TRANSPORT_FEEDBACK_FMT,
    BrokenReport,
    find_reports,
    read_arrivals,
)

QUARTER_NS = 250_000


@given(
    st.integers(0, 65535),
    st.dictionaries(st.integers(0, 200), st.integers(0, 40), min_size=1),
)
def test_what_is_written_is_read(first: int, came: dict[int, int]) -> None:
    """every packet at its time, those between that have not come, and where the report begins."""
    feedback = TransportFeedback()
    arrivals: dict[int, int] = {}
    at_ns = 64 * NS_PER_MS
    for offset in sorted(came):
        at_ns += came[offset] * NS_PER_MS
        feedback.add((first + offset) % 65536, at_ns)
        arrivals[offset] = at_ns
    report = read_arrivals(feedback.report() or b"")
    lowest = min(came)
    assert report.base == (first + lowest) % 65536
    assert report.ticks_ns == tuple(
        arrivals[offset] // QUARTER_NS * QUARTER_NS if offset in arrivals else None
        for offset in range(lowest, max(came) + 1)
    )
    assert report.missing == max(came) - lowest + 1 - len(came)


def test_reports_are_found_among_other_packets() -> None:
    feedback = TransportFeedback()
    feedback.add(7, 0)
    fci = feedback.report() or b""
    ours = pack_rtcp_packet(RTCP_RTPFB, TRANSPORT_FEEDBACK_FMT, bytes(8) + fci)
    nack = pack_rtcp_packet(RTCP_RTPFB, 1, bytes(12))
    compound = bytes(RtcpRrPacket(ssrc=1)) + ours + nack + ours
    assert list(find_reports(compound)) == [fci, fci]
    assert list(find_reports(compound[:-4])) == [fci]


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    """are read or refused."""
    list(find_reports(data))
    with contextlib.suppress(BrokenReport):
        read_arrivals(data)


def test_a_small_report_of_very_many_packets_is_refused() -> None:
    """a few bytes may claim 65,535 packets: reading them all would stop everybody else."""
    head = struct.pack("!HH", 0, 65535) + bytes(4)
    with pytest.raises(BrokenReport, match="at most"):
        read_arrivals(head + struct.pack("!H", 0x1FFF) * 8)
