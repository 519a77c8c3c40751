"""When camera frames were captured, on our clock and on the sender's; their first packets."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_protocol.colours import DeclaredColours
from slipstream_server.receive.capture_time import CaptureClock, FrameOrigin, FrameOrigins

FRAME_PTS = 3000  # 30 fps at 90 kHz
FRAME_NS = NS_PER_S // 30
CAPTURED_UNIX_S = 1_700_000_000
NTP_TO_UNIX_S = 2_208_988_800
CYCLE = 1 << 32


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


def ntp(unix_s: float) -> int:
    """As it stands in a sender report."""
    return round((unix_s + NTP_TO_UNIX_S) * (1 << 32))


def test_the_first_packet_counts() -> None:
    """a frame has come when its first packet has, whichever that is."""
    origins = FrameOrigins()
    for now_ns in (5, 6, 9):
        origins.on_packet(3000, now_ns)
    origins.on_release(3000, 0)
    assert origins.origin_of(0) == FrameOrigin(first_packet_ns=5, captured_unix_ns=None)


@given(
    reported=st.integers(0, CYCLE - 1),
    ahead_ms=st.integers(-20_000, 20_000),
)
def test_one_report_dates_every_frame(reported: int, ahead_ms: int) -> None:
    """before and after it, also where the RTP clock starts over in between."""
    origins = FrameOrigins()
    origins.on_sender_report(ntp(CAPTURED_UNIX_S), reported)
    timestamp = (reported + 90 * ahead_ms) % CYCLE
    origins.on_packet(timestamp, 1)
    origins.on_release(timestamp, 7)
    origin = origins.origin_of(7)
    assert origin is not None
    expected_ns = CAPTURED_UNIX_S * NS_PER_S + ahead_ms * NS_PER_MS
    assert origin.captured_unix_ns == pytest.approx(expected_ns, abs=NS_PER_MS)


def test_an_old_report_says_nothing() -> None:
    """half a minute after the last report nobody knows what the sender's clock has done."""
    origins = FrameOrigins()
    origins.on_sender_report(ntp(CAPTURED_UNIX_S), 0)
    origins.on_packet(31 * 90_000, 1)
    origins.on_release(31 * 90_000, 7)
    assert origins.origin_of(7) == FrameOrigin(first_packet_ns=1, captured_unix_ns=None)


def test_what_is_unknown_is_none() -> None:
    """a picture that never was, and one long ago: memory is bounded."""
    origins = FrameOrigins()
    assert origins.origin_of(0) is None
    for number in range(1000):
        origins.on_packet(3000 * number, number)
        origins.on_packet(3000 * number + 1, number)  # never whole
        origins.on_release(3000 * number, 3000 * number)
    assert origins.origin_of(0) is None
    assert origins.origin_of(3000 * 999) == FrameOrigin(first_packet_ns=999, captured_unix_ns=None)
    assert origins.origin_of(3000 * 999 + 1) is None


def test_colours_hold_until_the_next_key_frame() -> None:
    """they are said once, with the last packet of the frame from which on they hold."""
    said = DeclaredColours(matrix=1, transfer=1, is_full_range=False)
    origins = FrameOrigins()
    found = []
    for number, (is_key, colours) in enumerate(
        [(True, None), (False, said), (False, None), (True, said), (False, None), (True, None)]
    ):
        origins.on_packet(number, 1)
        origins.on_packet(number, 2, colours=colours)
        origins.on_release(number, number, is_key=is_key)
        origin = origins.origin_of(number)
        assert origin is not None
        found.append(origin.colours)
    assert found == [None, said, said, said, said, None]
