"""The capture clock."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.capture_clock import CaptureClock

FRAME_PTS = 3000  # 30 fps at 90 kHz
FRAME_NS = NS_PER_S // 30


def test_jitter_of_arrivals_does_not_move_captures() -> None:
    """frames that arrive unevenly are still a thirtieth of a second apart."""
    clock = CaptureClock()
    delays_ms = [20, 5, 35, 12, 5, 60, 8, 9, 22, 5]
    captured = [
        clock.captured_ns(n * FRAME_PTS, 10**9 + n * FRAME_NS + delay * NS_PER_MS)
        for n, delay in enumerate(delays_ms)
    ]
    gaps = [b - a for a, b in itertools.pairwise(captured[1:])]
    assert all(abs(gap - FRAME_NS) < NS_PER_MS for gap in gaps)


def test_a_source_that_starts_anew_is_followed_at_once() -> None:
    """a jump in RTP time is a new camera, not a frame from the past or the future."""
    clock = CaptureClock()
    clock.captured_ns(90_000 * 1000, 5 * NS_PER_S)
    assert clock.captured_ns(0, 6 * NS_PER_S) == 6 * NS_PER_S


def test_a_longer_route_is_learned() -> None:
    """when every frame begins to take longer, age is not counted for ever against the old route."""
    clock = CaptureClock()
    clock.captured_ns(0, 0)
    late_ns = 50 * NS_PER_MS
    for n in range(1, 30 * 60):
        arrived_ns = n * FRAME_NS + late_ns
        captured_ns = clock.captured_ns(n * FRAME_PTS, arrived_ns)
    assert arrived_ns - captured_ns < 2 * NS_PER_MS


@given(st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 10**9)), min_size=1))
def test_nothing_is_captured_after_it_arrived(steps: list[tuple[int, int]]) -> None:
    """whatever the network does, an age is never negative."""
    clock = CaptureClock()
    pts = arrived_ns = 0
    for pts_step, arrival_step in steps:
        pts += pts_step
        arrived_ns += arrival_step
        assert clock.captured_ns(pts, arrived_ns) <= arrived_ns
