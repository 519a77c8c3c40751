"""What the viewer's browser reports of the picture it gets. Pure.

It is passed on beside the service levels. Of all it says, only the age to the screen decides one
(`judged_age.py`): the link is part of what a viewer is promised. A freeze is no miss, which is a
chunk's; it is counted for itself.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from slipstream_protocol.clock import NS_PER_S

_WINDOW_NS = 10 * NS_PER_S

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Milliseconds = Annotated[float, Meta(ge=0, le=600_000)]


class GlassToGlassMs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From the camera to the viewer's screen, over ten seconds, on the viewer's own clock."""

    p50: Milliseconds
    p95: Milliseconds


class ClientStats(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag="client_stats",
    forbid_unknown_fields=True,
):
    """What came since the message before, a second ago; null where the browser does not know.

    Args:
        freezes, frozen_ms: times the picture stood still though frames were due, and how long.
        jitter_buffer_ms: mean time of a frame in the browser's jitter buffer.
        glass_ms: null where the page does not know the camera's own clock.
    """

    freezes: Count
    frozen_ms: Milliseconds
    received_packets: Count
    lost_packets: Count
    decoded_frames: Count
    dropped_frames: Count
    shown_fps: Annotated[float, Meta(ge=0, le=1000)]
    rtt_ms: Milliseconds | None
    jitter_buffer_ms: Milliseconds | None
    glass_ms: GlassToGlassMs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatsReport:
    """The figures of the last ten seconds; those of the network and of the age are the newest.

    Args:
        lost_ratio: of the packets sent to the viewer, before any came again.
    """

    freezes: int
    frozen_ms: float
    lost_ratio: float
    dropped_frames: int
    shown_fps: float
    rtt_ms: float | None
    jitter_buffer_ms: float | None
    glass_ms: GlassToGlassMs | None


class ClientStatsWindow:
    """The reports of one viewer over the last ten seconds."""

    def __init__(self) -> None:
        self._reports: deque[tuple[int, ClientStats]] = deque()

    def add(self, stats: ClientStats, now_ns: int) -> None:
        """A report has come."""
        self._reports.append((now_ns, stats))
        self._trim(now_ns)

    def report(self, now_ns: int) -> ClientStatsReport | None:
        """The figures of now; None if no report has come of late."""
        self._trim(now_ns)
        if not self._reports:
            return None
        newest = self._reports[-1][1]

        def total(of: Callable[[ClientStats], float]) -> float:
            return sum(of(stats) for _, stats in self._reports)

        lost = total(lambda stats: stats.lost_packets)
        packets = lost + total(lambda stats: stats.received_packets)
        return ClientStatsReport(
            freezes=int(total(lambda stats: stats.freezes)),
            frozen_ms=total(lambda stats: stats.frozen_ms),
            lost_ratio=lost / packets if packets else 0.0,
            dropped_frames=int(total(lambda stats: stats.dropped_frames)),
            shown_fps=total(lambda stats: stats.shown_fps) / len(self._reports),
            rtt_ms=newest.rtt_ms,
            jitter_buffer_ms=newest.jitter_buffer_ms,
            glass_ms=newest.glass_ms,
        )

    def _trim(self, now_ns: int) -> None:
        while self._reports and self._reports[0][0] < now_ns - _WINDOW_NS:
            self._reports.popleft()
