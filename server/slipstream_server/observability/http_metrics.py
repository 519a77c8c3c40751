"""The HTTP side for Prometheus: connections, and requests that were refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge

_REFUSALS = frozenset(
    (400, 401, 403, 404, 405, 406, 408, 409, 411, 412, 413, 415, 422, 429, 500, 503)
)
# how the paths of a kind begin; the first that fits
_ROUTES = {
    "/api/v1/webrtc": "call",
    "/api/": "api",
    "/whip": "whip",
    "/whep": "whep",
    "/metrics": "metrics",
    "/health": "probe",
    "/ready": "probe",
}
_PAGES = ("/view", "/studio", "/shared", "/recording", "/streams", "/dock")
_OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionCounts:
    """HTTP connections.

    Args:
        open: now, by what they are at.
        places: the most that there may be.
        refused, evicted: in total: that got no place, that gave theirs to another.
    """

    open: Mapping[str, int] = field(default_factory=dict)
    places: int = 0
    refused: int = 0
    evicted: int = 0


class HttpMetrics:
    """Counts refusals; connections are taken from `connections` when the metrics are read.

    Every label has few values, whatever callers send.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections: Callable[[], ConnectionCounts] = ConnectionCounts
        self._refused = Counter(
            "slipstream_http_refusals",
            "Requests answered with an error, by status and kind of route",
            ["status", "route"],
            registry=registry,
        )
        self._open = Gauge(
            "slipstream_http_connections",
            "HTTP connections now, by what they are at",
            ["phase"],
            registry=registry,
        )
        self._places = Gauge(
            "slipstream_http_places",
            "The most HTTP connections that there may be",
            registry=registry,
        )
        self._closed = Counter(
            "slipstream_http_connections_closed",
            "HTTP connections closed for want of a place: new ones, and idle ones that gave way",
            ["which"],
            registry=registry,
        )
        self._reported = ConnectionCounts()

    def refused(self, status: int, path: str) -> None:
        """A request for this path was answered with this status, of 400 or more."""
        label = str(status) if status in _REFUSALS else _OTHER
        self._refused.labels(label, route_kind(path)).inc()

    def update(self) -> None:
        """Take over the connections."""
        counts, before = self.connections(), self._reported
        for phase, number in counts.open.items():
            self._open.labels(phase).set(number)
        self._places.set(counts.places)
        self._closed.labels("refused").inc(counts.refused - before.refused)
        self._closed.labels("evicted").inc(counts.evicted - before.evicted)
        self._reported = counts


def route_kind(path: str) -> str:
    """The kind of route that a path belongs to: one of a few, for a label."""
    for prefix, kind in _ROUTES.items():
        if path.startswith(prefix):
            return kind
    return "page" if path == "/" or path.startswith(_PAGES) else _OTHER
