"""The monotonic clock of both processes.

`time.monotonic_ns` reads CLOCK_MONOTONIC, which counts from boot for every process of a machine, so
a stamp taken in the engine can be subtracted from one taken in the server.
"""

import time

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
# where the kernel lacks the first (macOS), the second goes on while suspended
_SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
RTP_HZ = 90_000  # the video clock of RFC 3551


def now_ns() -> int:
    """The time now, in nanoseconds on the machine's monotonic clock."""
    return time.monotonic_ns()


def since_boot_s() -> float:
    """The time since the machine was started, in seconds, also while it was suspended.

    For what expires elsewhere: no change of the wall clock moves it.
    """
    return time.clock_gettime(_SINCE_BOOT)


def ns_to_rtp(duration_ns: int) -> int:
    """Nanoseconds as ticks of the 90 kHz video clock, rounded down."""
    return duration_ns * RTP_HZ // NS_PER_S


def rtp_to_ns(ticks: int) -> int:
    """Ticks of the 90 kHz video clock as nanoseconds, rounded down."""
    return ticks * NS_PER_S // RTP_HZ
