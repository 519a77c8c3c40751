"""Retransmission: once in a round trip, a few times, then a key frame."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.retransmit import RetransmitDecision, RetransmitPolicy

RTT_NS = 40 * NS_PER_MS


def request(retransmits: RetransmitPolicy, *sequences: int, at_ms: float) -> RetransmitDecision:
    return retransmits.decide(sequences, int(at_ms * NS_PER_MS), RTT_NS)


def test_a_packet_is_sent_again_once_in_a_round_trip() -> None:
    """requests that crossed the answer are not answered again."""
    retransmits = RetransmitPolicy(lambda sequence: True)
    assert request(retransmits, 1, 2, at_ms=0) == RetransmitDecision(
        sequences=(1, 2), needs_key=False
    )
    assert request(retransmits, 1, 2, 3, at_ms=10) == RetransmitDecision(
        sequences=(3,), needs_key=False
    )
    assert request(retransmits, 1, at_ms=40) == RetransmitDecision(sequences=(1,), needs_key=False)


def test_asking_too_often_ends_in_a_key_frame() -> None:
    """a packet that never arrives is not sent for ever."""
    retransmits = RetransmitPolicy(lambda sequence: True)
    answers = [request(retransmits, 1, at_ms=40 * n) for n in range(6)]
    assert [answer.sequences for answer in answers] == [(1,)] * 4 + [()] * 2
    assert [answer.needs_key for answer in answers] == [False] * 4 + [True] * 2


def test_a_packet_no_longer_kept_needs_a_key_frame() -> None:
    """the viewer would wait for it in vain."""
    retransmits = RetransmitPolicy(lambda sequence: sequence > 10)
    assert request(retransmits, 9, 11, at_ms=0) == RetransmitDecision(
        sequences=(11,), needs_key=True
    )


def test_half_a_second_is_long_enough() -> None:
    """a picture that old is not worth repairing."""
    retransmits = RetransmitPolicy(lambda sequence: True)
    request(retransmits, 1, at_ms=0)
    assert request(retransmits, 1, at_ms=600).needs_key


def test_numbers_come_round_again() -> None:
    """after seconds the same number is another packet."""
    retransmits = RetransmitPolicy(lambda sequence: True)
    request(retransmits, 1, at_ms=0)
    assert request(retransmits, 1, at_ms=6000) == RetransmitDecision(
        sequences=(1,), needs_key=False
    )


def test_what_is_older_than_a_key_frame_is_left_alone() -> None:
    """the viewer goes on with the key frame, also where numbers start over."""
    retransmits = RetransmitPolicy(lambda sequence: False)
    retransmits.on_key_frame_sent(2)
    assert request(retransmits, 65535, 0, 1, at_ms=0) == RetransmitDecision(
        sequences=(), needs_key=False
    )
    assert request(retransmits, 2, at_ms=0).needs_key


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 65535), max_size=300), st.integers(0, NS_PER_S)),
        max_size=30,
    )
)
def test_any_requests(requests: list[tuple[list[int], int]]) -> None:
    """only requested packets are sent, none twice at once; memory is bounded."""
    retransmits = RetransmitPolicy(lambda sequence: sequence % 7 != 0)
    now_ns = 0
    for sequences, step_ns in requests:
        now_ns += step_ns
        answer = retransmits.decide(sequences, now_ns, RTT_NS)
        assert set(answer.sequences) <= set(sequences)
        assert len(set(answer.sequences)) == len(answer.sequences)
        assert all(sequence % 7 for sequence in answer.sequences)
        assert len(retransmits) <= 512 + 300
