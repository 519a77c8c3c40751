"""Requests for lost packets are such as RTCP can carry."""

from aiortc.rtp import RTCP_RTPFB_NACK, RtcpRtpfbPacket
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.receive.loss_feedback import ascending_runs


@given(st.integers(0, 65535), st.lists(st.integers(1, 400), max_size=40))
def test_requests_are_sent_also_where_numbers_start_over(first: int, steps: list[int]) -> None:
    """all of them, in their order, each part of them as aiortc packs and reads it."""
    sequences = [first]
    for step in steps:
        sequences.append((sequences[-1] + step) % 65536)
    runs = list(ascending_runs(sequences))
    assert [number for run in runs for number in run] == sequences
    for run in runs:
        packet = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=2, lost=list(run))
        assert RtcpRtpfbPacket.parse(bytes(packet)[4:], RTCP_RTPFB_NACK).lost == list(run)
    assert list(ascending_runs(())) == []
