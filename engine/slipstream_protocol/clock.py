"""The monotonic clock of both processes.

`time.monotonic_ns` reads CLOCK_MONOTONIC, which counts from boot for every process of a machine, so
a stamp taken in the engine can be subtracted from one taken in the server.
"""

import time

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
RTP_HZ = 90_000  # the video clock of RFC 3551


def now_ns() -> int:
    """The time now, in nanoseconds on the machine's monotonic clock."""
    return time.monotonic_ns()


def ns_to_rtp(duration_ns: int) -> int:
    """Nanoseconds as ticks of the 90 kHz video clock, rounded down."""
    return duration_ns * RTP_HZ // NS_PER_S


def rtp_to_ns(ticks: int) -> int:
    """Ticks of the 90 kHz video clock as nanoseconds, rounded down."""
    return ticks * NS_PER_S // RTP_HZ
