"""Requests for lost packets are such as RTCP can carry."""

from aiortc.rtp import RTCP_RTPFB_NACK, RtcpRtpfbPacket
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.loss_feedback import NackGenerator, PliGenerator, ascending_runs


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


def test_a_packet_is_requested_a_bounded_number_of_times() -> None:
    """a round trip apart; and no more once it has come."""
    nacks = NackGenerator(max_requests=3)
    nacks.on_gap(range(7, 9), 0)
    asked = []
    while (due_ns := nacks.due_ns()) is not None:
        asked.append(nacks.take_due(due_ns))
        nacks.on_packet(8, due_ns)
        assert nacks.take_due(due_ns) == ()
    assert asked == [(7, 8), (7,), (7,)]
    assert nacks.missing_since_ns(7) == 0


def test_requests_for_what_has_come_are_not_kept() -> None:
    """however many packets are missing for a moment."""
    nacks = NackGenerator(max_missing=8)
    for first in range(0, 10_000, 8):
        nacks.on_gap(range(first, first + 8), 0)
        for sequence in range(first, first + 7):
            nacks.on_packet(sequence, 0)
    assert len(nacks) == 1
    assert nacks.take_due(0) == (9_999,)


def test_a_key_frame_is_requested_twice_a_second_while_it_is_needed() -> None:
    """and is given up after three seconds in which it was, without a break."""
    plis = PliGenerator()
    assert not plis.has_given_up(10 * NS_PER_S)
    assert not plis.take_due(False, 0) and plis.due_ns() is None
    asked = [at for at in range(0, 3000, 100) if plis.take_due(True, at * NS_PER_MS)]
    assert asked == list(range(0, 3000, 500))
    assert not plis.has_given_up(2900 * NS_PER_MS)
    assert plis.has_given_up(3000 * NS_PER_MS)
    assert not plis.take_due(False, 3000 * NS_PER_MS)
    assert not plis.has_given_up(9000 * NS_PER_MS)
