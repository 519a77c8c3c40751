"""What a viewer's browser says, over ten seconds."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.observability.client_stats import (
    ClientStats,
    ClientStatsWindow,
    GlassToGlassMs,
)

from tests.server.stamped import ms

QUIET = ClientStats(
    freezes=0,
    frozen_ms=0.0,
    received_packets=0,
    lost_packets=0,
    decoded_frames=0,
    dropped_frames=0,
    shown_fps=0.0,
    rtt_ms=None,
    jitter_buffer_ms=None,
    glass_ms=None,
)


def stats(**changes: Any) -> ClientStats:
    return msgspec.structs.replace(QUIET, **changes)


def test_nothing_said_is_nothing_claimed() -> None:
    """None before the first report, and again ten seconds after the last."""
    window = ClientStatsWindow()
    assert window.report(0) is None
    window.add(QUIET, ms(0))
    assert window.report(ms(10_000)) is not None
    assert window.report(ms(10_001)) is None


def test_counts_add_up_and_figures_are_the_newest() -> None:
    """freezes of all ten seconds; the round trip and the age of now; lost of all sent."""
    window = ClientStatsWindow()
    reports = [
        stats(freezes=1, frozen_ms=300.0, received_packets=90, lost_packets=10, shown_fps=20.0),
        stats(
            received_packets=100, shown_fps=30.0, rtt_ms=4.0, glass_ms=GlassToGlassMs(p50=1, p95=2)
        ),
    ]
    for second, one in enumerate(reports):
        window.add(one, ms(1000 * second))
    report = window.report(ms(1000))
    assert report is not None
    assert (report.freezes, report.frozen_ms, report.shown_fps) == (1, 300.0, 25.0)
    assert report.lost_ratio == 0.05
    assert (report.rtt_ms, report.jitter_buffer_ms) == (4.0, None)
    assert report.glass_ms == GlassToGlassMs(p50=1, p95=2)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 9))))
def test_the_window_is_ten_seconds(reports: list[tuple[int, int]]) -> None:
    """as if all were kept and only the last ten seconds looked at."""
    window, at_ms, kept = ClientStatsWindow(), 0, []
    for wait_ms, freezes in reports:
        at_ms += wait_ms
        window.add(stats(freezes=freezes), ms(at_ms))
        kept.append((at_ms, freezes))
        report = window.report(ms(at_ms))
        assert report is not None
        assert report.freezes == sum(n for at, n in kept if at >= at_ms - 10_000)
