"""The media of all sessions for Prometheus: what is sent and received, and what viewers see."""

from collections import Counter as Counts
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from slipstream_protocol.clock import NS_PER_S

from slipstream_server.observability.client_stats import ClientStats

_MS_PER_S = 1000.0
_GLASS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
_NETWORK_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStats:
    """A session's media: totals since it began, but for the bitrate.

    Args:
        received: of the camera: packets requested again (`nack`), key frames requested (`pli`),
            packets and frames dropped, by cause.
        sent: of the picture: frames `sent`, `key` frames among them, `bytes`, key frames `asked`
            for by the viewer, times an encoder was `opened`, frames dropped by cause.
        bitrate_bps: that the picture is encoded for at present; None where none is sent.
        paced_ns: that the pacer held back packets of large frames.
        dropped_timings: messages with frame times dropped since their channel's buffer was full.
    """

    received: Mapping[str, int]
    sent: Mapping[str, int]
    bitrate_bps: int | None
    paced_ns: int
    dropped_timings: int

    def summary(self) -> str:
        """All of it in one line, for the log."""
        sent = {**self.sent, "kbps": (self.bitrate_bps or 0) // 1000}
        return ", ".join(
            f"{direction} {cause} {count}"
            for direction, counts in (("out", sent), ("in", self.received))
            for cause, count in counts.items()
            if count
        )


class ReportedTotals:
    """Turns the totals that sessions report again and again into what has been added since."""

    def __init__(self) -> None:
        self._totals: dict[str, Counts[tuple[str, ...]]] = {}

    def added(self, session: str, key: tuple[str, ...], total: int) -> int:
        """What was added since the session's last report of `key`; never below 0."""
        totals = self._totals.setdefault(session, Counts())
        added = max(0, total - totals[key])
        totals[key] = total
        return added

    def forget(self, session: str) -> None:
        """The session has ended."""
        self._totals.pop(session, None)


class MediaMetrics:
    """Counters over all sessions; no label identifies one.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._totals = ReportedTotals()
        self._bitrates_bps: dict[str, int] = {}
        self._events = Counter(
            "slipstream_media_events",
            "Frames, packets and key frames of camera (in) and generated video (out), by event",
            ["way", "what"],
            registry=registry,
        )
        self._bytes = Counter(
            "slipstream_encoded_bytes", "Bytes of encoded video sent", registry=registry
        )
        self._pacer_wait = Counter(
            "slipstream_pacer_wait_seconds",
            "Time for which the pacer held back packets of large frames",
            registry=registry,
        )
        self._dropped_timings = Counter(
            "slipstream_timing_messages_dropped",
            "Messages with frame times dropped since their channel's buffer was full",
            registry=registry,
        )
        self._bitrate = Gauge(
            "slipstream_bitrate_bps",
            "Bitrate that encoders aim at now: sum of all sessions, and the lowest one",
            ["of"],
            registry=registry,
        )
        self._glass = Histogram(
            "slipstream_glass_to_glass_seconds",
            "Camera to screen on the viewer's clock: its percentiles, observed each second",
            ["percentile"],
            registry=registry,
            buckets=_GLASS_S,
        )
        self._rtt = Histogram(
            "slipstream_viewer_rtt_seconds",
            "Round trip time of the media path, observed each second",
            registry=registry,
            buckets=_NETWORK_S,
        )
        self._buffered = Histogram(
            "slipstream_viewer_jitter_buffer_seconds",
            "Mean time of a frame in the browser's jitter buffer, observed each second",
            registry=registry,
            buckets=_NETWORK_S,
        )
        self._freezes = Counter(
            "slipstream_viewer_freezes", "Freezes that viewers' browsers report", registry=registry
        )
        self._frozen = Counter(
            "slipstream_viewer_frozen_seconds",
            "Time for which viewers' pictures were frozen",
            registry=registry,
        )
        self._frames = Counter(
            "slipstream_viewer_frames",
            "Frames in viewers' browsers, decoded or dropped",
            ["fate"],
            registry=registry,
        )
        self._packets = Counter(
            "slipstream_viewer_packets",
            "Packets of generated video, received or lost on the way to viewers",
            ["fate"],
            registry=registry,
        )

    def observe_client(self, stats: ClientStats) -> None:
        """A viewer's browser has reported its last second."""
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

    def report(self, session: str, stats: MediaStats) -> None:
        """Take over a session's totals; what was added since the last time is counted."""

        def added(way: str, what: str, total: int) -> int:
            return self._totals.added(session, (way, what), total)

        sent = dict(stats.sent)
        self._bytes.inc(added("bytes", "", sent.pop("bytes", 0)))
        for way, events in (("in", stats.received), ("out", sent)):
            for what, count in events.items():
                if count:
                    self._events.labels(way, what).inc(added(way, what, count))
        self._pacer_wait.inc(added("paced", "", stats.paced_ns) / NS_PER_S)
        self._dropped_timings.inc(added("dropped_timings", "", stats.dropped_timings))
        if stats.bitrate_bps is not None:
            self._bitrates_bps[session] = stats.bitrate_bps

    def forget(self, session: str) -> None:
        """A session has ended: its share of the gauges goes."""
        self._totals.forget(session)
        self._bitrates_bps.pop(session, None)

    def update_gauges(self) -> None:
        """Set the gauges that are computed only when the metrics are read."""
        self._bitrate.labels("all").set(sum(self._bitrates_bps.values()))
        self._bitrate.labels("poorest").set(min(self._bitrates_bps.values(), default=0))
