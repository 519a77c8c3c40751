"""The media of all calls for Prometheus: what the server sends and gets, what viewers see."""

from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from slipstream_protocol.clock import NS_PER_S

from slipstream_server.observability.client_stats import ClientStats
from slipstream_server.observability.media_stats import MediaStats

_MS_PER_S = 1000.0
_GLASS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
_NETWORK_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class MediaMetrics:
    """Counters over all calls; no label names one.

    Args:
        registry: where they are told.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counted: dict[str, Counts[tuple[str, str]]] = {}
        self._bitrates_bps: dict[str, int] = {}
        self._events = Counter(
            "slipstream_media_events",
            "Of the camera (in) and of the picture sent (out): see counts.MediaCounts",
            ["way", "what"],
            registry=registry,
        )
        self._bytes = Counter("slipstream_encoded_bytes", "Of pictures sent", registry=registry)
        self._paced = Counter(
            "slipstream_paced_seconds",
            "For which packets of large frames were held back",
            registry=registry,
        )
        self._untold = Counter(
            "slipstream_untold_timings",
            "Messages with stamps that found their channel full",
            registry=registry,
        )
        self._bitrate = Gauge(
            "slipstream_bitrate_bps",
            "That pictures are encoded for now: of all calls, and of the poorest link",
            ["of"],
            registry=registry,
        )
        self._glass = Histogram(
            "slipstream_glass_to_glass_seconds",
            "Camera to screen by the viewer's own clock: its percentiles, each second",
            ["percentile"],
            registry=registry,
            buckets=_GLASS_S,
        )
        self._rtt = Histogram(
            "slipstream_viewer_rtt_seconds",
            "Round trip of the media path, each second",
            registry=registry,
            buckets=_NETWORK_S,
        )
        self._buffered = Histogram(
            "slipstream_viewer_jitter_buffer_seconds",
            "A frame's stay in the browser's buffer, each second",
            registry=registry,
            buckets=_NETWORK_S,
        )
        self._freezes = Counter(
            "slipstream_viewer_freezes", "Times a viewer's picture stood still", registry=registry
        )
        self._frozen = Counter(
            "slipstream_viewer_frozen_seconds", "That viewers' pictures stood", registry=registry
        )
        self._frames = Counter(
            "slipstream_viewer_frames", "In the viewers' browsers", ["fate"], registry=registry
        )
        self._packets = Counter(
            "slipstream_viewer_packets",
            "Of the picture, on their way to the viewers",
            ["fate"],
            registry=registry,
        )

    def observe_client(self, stats: ClientStats) -> None:
        """A viewer's browser has told of its last second."""
        if stats.glass_ms is not None:
            self._glass.labels("50").observe(stats.glass_ms.p50 / _MS_PER_S)
            self._glass.labels("95").observe(stats.glass_ms.p95 / _MS_PER_S)
        if stats.rtt_ms is not None:
            self._rtt.observe(stats.rtt_ms / _MS_PER_S)
        if stats.jitter_buffer_ms is not None:
            self._buffered.observe(stats.jitter_buffer_ms / _MS_PER_S)
        self._freezes.inc(stats.freezes)
        self._frozen.inc(stats.frozen_ms / _MS_PER_S)
        self._frames.labels("decoded").inc(stats.decoded_frames)
        self._frames.labels("dropped").inc(stats.dropped_frames)
        self._packets.labels("received").inc(stats.received_packets)
        self._packets.labels("lost").inc(stats.lost_packets)

    def report(self, session: str, counts: MediaStats) -> None:
        """Take over a call's totals; what has grown since the last time is counted."""
        counted = self._counted.setdefault(session, Counts())
        sent = dict(counts.sent)
        self._bytes.inc(_growth(counted, "bytes", "", sent.pop("bytes", 0)))
        for way, events in (("in", counts.received), ("out", sent)):
            for what, count in _nonzero(events):
                self._events.labels(way, what).inc(_growth(counted, way, what, count))
        self._paced.inc(_growth(counted, "paced", "", counts.paced_ns) / NS_PER_S)
        self._untold.inc(_growth(counted, "untold", "", counts.dropped_timings))
        if counts.bitrate_bps is not None:
            self._bitrates_bps[session] = counts.bitrate_bps

    def forget(self, session: str) -> None:
        """A call has ended: its share of the gauges goes."""
        self._counted.pop(session, None)
        self._bitrates_bps.pop(session, None)

    def take_gauges(self) -> None:
        """Set what is only looked at when somebody asks."""
        self._bitrate.labels("all").set(sum(self._bitrates_bps.values()))
        self._bitrate.labels("poorest").set(min(self._bitrates_bps.values(), default=0))


def _growth(counted: "Counts[tuple[str, str]]", way: str, what: str, count: int) -> int:
    grown = max(0, count - counted[way, what])
    counted[way, what] = count
    return grown


def _nonzero(events: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(what, count) for what, count in events.items() if count]
