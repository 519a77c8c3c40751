"""Where camera frames come from: first packets, and the sender's own clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.frame_origin import FrameOrigin, FrameOrigins

FILMED_UNIX_S = 1_700_000_000
NTP_TO_UNIX_S = 2_208_988_800
CYCLE = 1 << 32


def ntp(unix_s: float) -> int:
    """As it stands in a sender report."""
    return round((unix_s + NTP_TO_UNIX_S) * (1 << 32))


def test_the_first_packet_counts() -> None:
    """a frame has come when its first packet has, whichever that is."""
    origins = FrameOrigins()
    for now_ns in (5, 6, 9):
        origins.packet(3000, now_ns)
    origins.released(3000, 0)
    assert origins.of(0) == FrameOrigin(first_packet_ns=5, captured_unix_ns=None)


@given(
    reported=st.integers(0, CYCLE - 1),
    ahead_ms=st.integers(-20_000, 20_000),
)
def test_one_report_dates_every_frame(reported: int, ahead_ms: int) -> None:
    """before and after it, also where the RTP clock starts over in between."""
    origins = FrameOrigins()
    origins.report(ntp(FILMED_UNIX_S), reported)
    timestamp = (reported + 90 * ahead_ms) % CYCLE
    origins.packet(timestamp, 1)
    origins.released(timestamp, 7)
    origin = origins.of(7)
    assert origin is not None
    filmed_ns = FILMED_UNIX_S * NS_PER_S + ahead_ms * NS_PER_MS
    assert origin.captured_unix_ns == pytest.approx(filmed_ns, abs=NS_PER_MS)


def test_an_old_report_says_nothing() -> None:
    """half a minute after the last report nobody knows what the sender's clock has done."""
    origins = FrameOrigins()
    origins.report(ntp(FILMED_UNIX_S), 0)
    origins.packet(31 * 90_000, 1)
    origins.released(31 * 90_000, 7)
    assert origins.of(7) == FrameOrigin(first_packet_ns=1, captured_unix_ns=None)


def test_what_is_unknown_is_none() -> None:
    """a picture that never was, and one long ago: memory is bounded."""
    origins = FrameOrigins()
    assert origins.of(0) is None
    for number in range(1000):
        origins.packet(3000 * number, number)
        origins.packet(3000 * number + 1, number)  # never whole
        origins.released(3000 * number, 3000 * number)
    assert origins.of(0) is None
    assert origins.of(3000 * 999) == FrameOrigin(first_packet_ns=999, captured_unix_ns=None)
    assert origins.of(3000 * 999 + 1) is None
