"""The pacer: ordinary frames untouched, large ones spread out, no rate exceeded."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.send.pacer import Pacer

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
