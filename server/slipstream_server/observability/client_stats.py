"""What the viewer's browser says of the picture it gets. Pure.

This is the far end of the promise and is shown beside it, but does not change it: age and misses
are defined where the server can answer for them (see `observability/slo.py`), and a freeze may be
the viewer's own network. So a freeze is no miss; it is counted for itself.
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


class GlassMs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    """What came since the message before, a second ago; null where the browser does not tell.

    Args:
        freezes, frozen_ms: times the picture stood still though it should not, and how long.
        jitter_buffer_ms: a frame's stay in the browser's buffer, on the average.
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
    glass_ms: GlassMs | None


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
    glass_ms: GlassMs | None


class ClientStatsWindow:
    """What one viewer has said of late."""

    def __init__(self) -> None:
        self._told: deque[tuple[int, ClientStats]] = deque()

    def add(self, stats: ClientStats, now_ns: int) -> None:
        """The viewer has spoken."""
        self._told.append((now_ns, stats))
        self._trim(now_ns)

    def report(self, now_ns: int) -> ClientStatsReport | None:
        """None if nothing was said of late."""
        self._trim(now_ns)
        if not self._told:
            return None
        newest = self._told[-1][1]

        def total(of: Callable[[ClientStats], float]) -> float:
            return sum(of(stats) for _, stats in self._told)

        lost = total(lambda stats: stats.lost_packets)
        packets = lost + total(lambda stats: stats.received_packets)
        return ClientStatsReport(
            freezes=int(total(lambda stats: stats.freezes)),
            frozen_ms=total(lambda stats: stats.frozen_ms),
            lost_ratio=lost / packets if packets else 0.0,
            dropped_frames=int(total(lambda stats: stats.dropped_frames)),
            shown_fps=total(lambda stats: stats.shown_fps) / len(self._told),
            rtt_ms=newest.rtt_ms,
            jitter_buffer_ms=newest.jitter_buffer_ms,
            glass_ms=newest.glass_ms,
        )

    def _trim(self, now_ns: int) -> None:
        while self._told and self._told[0][0] < now_ns - _WINDOW_NS:
            self._told.popleft()
