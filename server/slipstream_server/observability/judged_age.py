"""By which age a stream is judged: to the screen where its page tells that, else to sent. Pure.

The server knows a frame's age where it is sent; what comes after, the link and the browser, only
the page knows (`client_stats.py`), and not all pages do. A page that has not told for three seconds
is hidden or gone.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.observability.client_stats import GlassToGlassMs
from slipstream_server.observability.slo_report import AgeCovers, Percentiles

_FRESH_NS = 3 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAge:
    """An age to be held against its target."""

    p95_ms: float
    covers: AgeCovers


class AgeJudge:
    """What one viewer's page has told, joined with the ages that the server knows."""

    def __init__(self) -> None:
        self._told: tuple[int, float] | None = None  # when, p95
        self._beyond_ms = 0.0

    def on_told(self, glass: GlassToGlassMs | None, sent: Percentiles | None, now_ns: int) -> None:
        """The page has reported.

        Args:
            glass: None where it does not know.
            sent: of the same seconds.
        """
        if glass is None or sent is None:
            return
        self._told = now_ns, glass.p95
        self._beyond_ms = max(0.0, glass.p95 - sent.p95)

    def beyond_ms(self, now_ns: int) -> float:
        """How much longer than to sent it takes to the screen, at the 95th percentile; 0 where the
        page does not tell."""
        return self._beyond_ms if self._fresh_p95_ms(now_ns) is not None else 0.0

    def judged(self, sent: Percentiles | None, now_ns: int) -> JudgedAge | None:
        """The age that counts now; None while no frame was sent. No frame is on the screen before
        it was sent, whatever a page says."""
        if sent is None:
            return None
        told_ms = self._fresh_p95_ms(now_ns)
        if told_ms is None:
            return JudgedAge(p95_ms=sent.p95, covers=AgeCovers.SENT)
        return JudgedAge(p95_ms=max(told_ms, sent.p95), covers=AgeCovers.GLASS)

    def _fresh_p95_ms(self, now_ns: int) -> float | None:
        if self._told is None or now_ns - self._told[0] > _FRESH_NS:
            return None
        return self._told[1]
