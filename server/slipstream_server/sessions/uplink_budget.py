"""Whether the server's line has room for the picture of one more call. Pure.

A call weighs what its encoder aims at, which is what its link is known to carry: a still picture
takes less of that, and all of it the next moment. One of which nothing is known yet, or that is
held, weighs as much as the others on average.
"""

from collections.abc import Collection
from statistics import fmean

_BPS_PER_MBPS = 1_000_000


class UplinkBudget:
    """Admits by bitrates.

    Args:
        limit_mbps: what all calls may be sent together, in Mbit/s; 0: whoever comes is admitted.
        start_bps: what a call is sent while no other is known.

    Raises:
        ValueError: if the limit is negative, or the start not above 0.
    """

    def __init__(self, *, limit_mbps: float, start_bps: int) -> None:
        if limit_mbps < 0:
            raise ValueError(f"limit_mbps is {limit_mbps}, it must be at least 0")
        if start_bps <= 0:
            raise ValueError(f"start_bps is {start_bps}, it must be above 0")
        self._limit_mbps = limit_mbps
        self._start_bps = start_bps

    def refusal(self, calls: int, bitrates_bps: Collection[int]) -> str | None:
        """Why there is no room for one more, for people; None where there is. The first is admitted
        whatever it takes.

        Args:
            calls: that are sent a picture, or may be at any moment.
            bitrates_bps: of those that are known.
        """
        if calls < 1 or not self._limit_mbps:
            return None
        each_mbps = fmean(bitrates_bps or [self._start_bps]) / _BPS_PER_MBPS
        needed_mbps = each_mbps * (calls + 1)
        if needed_mbps <= self._limit_mbps:
            return None
        return (
            f"the pictures of {calls + 1} calls would take {needed_mbps:.1f} Mbit/s of this "
            f"server's line, {self._limit_mbps:g} are theirs (a call takes {each_mbps:.1f}); wait "
            "until a viewer leaves, or start the server with a larger --max-send-mbps or a smaller "
            "--video-kbps"
        )
