"""How long frames are kept: not at all on a good link, a round trip where packets are lost."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.playout_delay import PlayoutDelay

RTT_NS = 40 * NS_PER_MS
PER_S = 300
AT_ONCE = bytes(3)


def least_and_most_ms(packed: bytes) -> tuple[int, int]:
    value = int.from_bytes(packed, "big")
    return (value >> 12) * 10, (value & 0xFFF) * 10


def reported(
    delay: PlayoutDelay, shares: list[float], *, rtt_ns: int = RTT_NS, is_queueing: bool = False
) -> list[bytes]:
    """What is sent after each second in which such a share of the packets was lost."""
    lost, found = 0.0, []
    delay.on_report(
        packets_lost=0, highest_sequence=0, rtt_ns=rtt_ns, is_queueing=is_queueing, now_ns=0
    )
    for second, share in enumerate(shares, 1):
        lost += share * PER_S
        delay.on_report(
            packets_lost=round(lost),
            highest_sequence=second * PER_S,
            rtt_ns=rtt_ns,
            is_queueing=is_queueing,
            now_ns=second * NS_PER_S,
        )
        found.append(delay.packed(second * NS_PER_S))
    return found


def test_a_good_link_keeps_no_frame() -> None:
    """nor does one that loses a packet now and then."""
    one = 1 / PER_S
    assert set(reported(PlayoutDelay(), [0.0, one, 0.0, one] * 5)) == {AT_ONCE}


@pytest.mark.parametrize(
    ("share", "kept_ms"), [(0.01, 40), (0.05, 40), (0.06, 50), (0.1, 50), (0.9, 50)]
)
def test_losses_keep_frames_for_some_of_a_round_trip(share: float, kept_ms: int) -> None:
    """the more of it the more are lost; in steps of 10 ms."""
    (packed,) = reported(PlayoutDelay(), [share])
    assert least_and_most_ms(packed) == (kept_ms, kept_ms)


def test_losses_of_a_queue_that_overflows_keep_no_frame() -> None:
    """the bitrate falls for them; and its delay counts in no round trip."""
    delay = PlayoutDelay()
    full = reported(delay, [0.2] * 3, rtt_ns=6 * RTT_NS, is_queueing=True)
    assert set(full) == {AT_ONCE}
    reported(delay, [0.0], rtt_ns=RTT_NS)
    assert least_and_most_ms(reported(delay, [0.05], rtt_ns=3 * RTT_NS)[0]) == (40, 40)


def test_losses_are_remembered_for_some_seconds() -> None:
    """then frames are shown at once again."""
    found = reported(PlayoutDelay(), [0.0, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert found[0] == AT_ONCE
    assert [least_and_most_ms(packed) for packed in found[1:7]] == [(40, 40)] * 6
    assert found[7:] == [AT_ONCE] * 2


def test_a_few_packets_say_nothing_until_time_has_passed() -> None:
    """two lost of twenty are chance; a quarter of those of three seconds is not."""
    delay = PlayoutDelay()
    for tenth in range(30):
        delay.on_report(
            packets_lost=tenth // 2,
            highest_sequence=tenth * 2,
            rtt_ns=RTT_NS,
            is_queueing=False,
            now_ns=tenth * NS_PER_S // 10,
        )
        assert delay.packed(tenth * NS_PER_S // 10) == AT_ONCE
    delay.on_report(
        packets_lost=15,
        highest_sequence=60,
        rtt_ns=RTT_NS,
        is_queueing=False,
        now_ns=3 * NS_PER_S,
    )
    assert delay.packed(3 * NS_PER_S) != AT_ONCE


@given(
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    rtt_ns=st.integers(0, 60 * NS_PER_S),
)
def test_whatever_is_reported_the_delay_is_bounded(shares: list[float], rtt_ns: int) -> None:
    """a viewer's word keeps no frame longer than 200 ms."""
    for packed in reported(PlayoutDelay(), shares, rtt_ns=rtt_ns):
        least_ms, most_ms = least_and_most_ms(packed)
        assert least_ms == most_ms <= 200


@example([(0, 7), (0, 7), (0, 7), (9, 7)])  # more was lost, and no packet was sent
@given(st.lists(st.tuples(st.integers(-(2**23), 2**23), st.integers(0, 2**32 - 1)), max_size=20))
def test_counts_that_make_no_sense_are_survived(reports: list[tuple[int, int]]) -> None:
    """they come from the viewer's side."""
    delay = PlayoutDelay()
    for at_s, (lost, highest) in enumerate(reports):
        delay.on_report(
            packets_lost=lost,
            highest_sequence=highest,
            rtt_ns=RTT_NS,
            is_queueing=False,
            now_ns=at_s * NS_PER_S,
        )
        assert len(delay.packed(at_s * NS_PER_S)) == 3
