"""The pacer and its leaky bucket: ordinary frames untouched, large ones spread out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.pacer import LeakyBucket, Pacer

PACKET_BYTES = 1250


def send(pacer: Pacer, packets: int, start_ns: int = 0) -> int:
    """Send packets with the waits between them; returns the time at the end."""
    now_ns = start_ns
    for _ in range(packets):
        now_ns += pacer.wait_after_ns(PACKET_BYTES, now_ns)
    return now_ns


def test_an_ordinary_frame_leaves_at_once() -> None:
    """12 packets, a frame at 3 Mbit/s and 24 fps, again and again."""
    pacer = Pacer(pace_bps=24_000_000)
    for frame in range(24):
        start_ns = frame * NS_PER_S // 24
        assert send(pacer, 12, start_ns) == start_ns


def test_a_key_frame_takes_a_few_milliseconds() -> None:
    """50 kB, of which 16 leave at once, at 24 Mbit/s: 11 ms."""
    took_ns = send(Pacer(pace_bps=24_000_000), 40)
    assert 10 * NS_PER_MS < took_ns < 12 * NS_PER_MS


@given(
    pace=st.integers(1_000_000, 100_000_000),
    frames=st.lists(st.tuples(st.integers(1, 80), st.integers(0, 100)), min_size=1, max_size=30),
)
def test_the_pace_is_kept(pace: int, frames: list[tuple[int, int]]) -> None:
    """what leaves up to any moment is the burst, a packet and a millisecond above the pace."""
    pacer = Pacer(pace_bps=pace, burst_bytes=16_000)
    now_ns = sent_bytes = 0
    for packets, idle_ms in frames:
        for _ in range(packets):
            sent_bytes += PACKET_BYTES
            slack_bytes = 16_000 + PACKET_BYTES + pace // 8 // 1000
            assert sent_bytes <= slack_bytes + now_ns * pace / 8 / NS_PER_S + 1
            now_ns += pacer.wait_after_ns(PACKET_BYTES, now_ns)
        now_ns += idle_ms * NS_PER_MS


def test_it_drains_at_the_rate_down_to_nothing() -> None:
    """from the first call on; what is not there cannot drain."""
    bucket = LeakyBucket()
    bucket.add(100)
    bucket.drain(30, 5 * NS_PER_S)
    assert bucket.level == 100
    bucket.drain(30, 7 * NS_PER_S)
    assert bucket.level == 40
    bucket.drain(30, 60 * NS_PER_S)
    assert bucket.level == 0


def test_a_clock_that_steps_back_drains_nothing() -> None:
    """and fills nothing."""
    bucket = LeakyBucket()
    bucket.add(10)
    bucket.drain(1, NS_PER_S)
    bucket.drain(1, 0)
    assert bucket.level == 10


@given(
    level=st.floats(0, 1e9),
    rate=st.floats(1, 1e8),
    steps_ns=st.lists(st.integers(0, NS_PER_S), min_size=1, max_size=50),
)
def test_many_short_drains_come_to_one_long_one(
    level: float, rate: float, steps_ns: list[int]
) -> None:
    """up to rounding."""
    pieces, whole = LeakyBucket(), LeakyBucket()
    for bucket in (pieces, whole):
        bucket.add(level)
        bucket.drain(rate, 0)
    now_ns = 0
    for step_ns in steps_ns:
        now_ns += step_ns
        pieces.drain(rate, now_ns)
    whole.drain(rate, now_ns)
    assert pieces.level == pytest.approx(whole.level, rel=1e-6, abs=1e-3)
