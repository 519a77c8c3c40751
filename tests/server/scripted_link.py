"""A sender's rate control against a link under a scripted clock: capacity, queue, jitter, loss.

The packets' numbers and the reports of their arrival are the real ones; a millisecond is a step.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.transport_feedback import TransportFeedback
from slipstream_server.rtp.transport_report import read_arrivals
from slipstream_server.send.bandwidth import FrameSpacing, MeanRate, PictureFormat, RateControl
from slipstream_server.send.link_estimator import Probe
from slipstream_server.send.send_history import SendHistory, SentPacket

PACKET_BYTES = 1200
REPORT_MS = 50
LOSS_REPORT_MS = 1000
_OVERTAKEN_MS = 15
CLOCK_AHEAD_MS = 1_000_000  # the receiver's clock has another zero


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkScript:
    """The link.

    Args:
        capacity_bps: by milliseconds from the start.
        one_way_ms: of an empty link, each way.
        queue_ms: that its slow hop holds; what comes beyond is lost.
        jitter_ms: the most that is added to a packet, at random, without overtaking.
        lost, overtaken: shares of packets, at random.
    """

    capacity_bps: Callable[[int], float]
    one_way_ms: int = 20
    queue_ms: float = 200.0
    jitter_ms: float = 0.0
    lost: float = 0.0
    overtaken: float = 0.0


class ScriptedQueue:
    """One way over a link: when each packet comes out at its end.

    Args:
        seed: of what happens at random.
    """

    def __init__(self, link: LinkScript, *, seed: int) -> None:
        self._link = link
        self._random = random.Random(seed)
        self._free_ms = self._last_ms = 0.0

    def arrival_ms(self, size_bytes: int, at_ms: float) -> float | None:
        """When a packet that leaves at `at_ms`, no earlier than the one before, arrives; None if it
        is lost."""
        link = self._link
        waits_ms = max(0.0, self._free_ms - at_ms)
        if waits_ms > link.queue_ms or self._random.random() < link.lost:
            return None
        took_ms = size_bytes * 8000 / link.capacity_bps(int(at_ms))
        self._free_ms = at_ms + waits_ms + took_ms
        jitter_ms = self._random.uniform(0, link.jitter_ms)
        arrives_ms = self._free_ms + link.one_way_ms + jitter_ms
        if self._random.random() < link.overtaken:
            return arrives_ms + _OVERTAKEN_MS
        self._last_ms = max(arrives_ms, self._last_ms)
        return self._last_ms


@dataclass(frozen=True, slots=True)
class Moment:
    """What was at the end of one step of 100 ms: bitrate, the age of the last packet, spacing."""

    at_ms: int
    bitrate_bps: int
    delay_ms: float
    every_frames: int


class ScriptedCall:
    """A picture sent over a scripted link.

    Args:
        demand_bps: of the encoder by milliseconds; it makes no more than the bitrate.
        picture: what is sent.
    """

    def __init__(
        self,
        link: LinkScript,
        *,
        rate: RateControl,
        demand_bps: Callable[[int], float],
        picture: PictureFormat,
        probes: bool = True,
        seed: int = 0,
    ) -> None:
        self.rate, self.spacing = rate, FrameSpacing()
        self.sent_bytes = self.probe_bytes = 0
        self._link, self._demand_bps, self._picture = link, demand_bps, picture
        self._probes = probes
        self._queue = ScriptedQueue(link, seed=seed)
        self._history, self._feedback, self._used = SendHistory(), TransportFeedback(), MeanRate()
        self._delay_ms = 0.0
        self._arriving: list[tuple[float, int]] = []
        self._reports: list[tuple[float, bytes]] = []
        self._lost = self._sent = 0
        self._pending: list[tuple[float, Probe]] = []
        self._due_ms = 0.0
        self._frames = 0

    def run(self, seconds: float) -> list[Moment]:
        moments = []
        for at_ms in range(int(seconds * 1000)):
            self._step(at_ms)
            if at_ms % 100 == 99:
                moments.append(
                    Moment(at_ms, self.rate.bitrate_bps, self._delay_ms, self.spacing.every_frames)
                )
        return moments

    def _step(self, at_ms: int) -> None:
        while self._due_ms <= at_ms:
            self._due_ms += 1000 / self._picture.fps
            self._frames += 1
            if self._frames % self.spacing.every_frames == 0:
                self._send_frame(at_ms)
        while self._pending and self._pending[0][0] <= at_ms:
            _, probe = self._pending.pop(0)
            self.probe_bytes += PACKET_BYTES
            self._send(PACKET_BYTES, at_ms, probe.number)
        while self._arriving and self._arriving[0][0] <= at_ms:
            arrived_ms, sequence = heapq.heappop(self._arriving)
            self._feedback.add(sequence, int((arrived_ms + CLOCK_AHEAD_MS) * NS_PER_MS))
        if at_ms % REPORT_MS == 0 and (report := self._feedback.report()) is not None:
            self._reports.append((at_ms + self._link.one_way_ms, report))
        while self._reports and self._reports[0][0] <= at_ms:
            self._on_report(self._reports.pop(0)[1], at_ms)
        if at_ms % LOSS_REPORT_MS == 0:
            self.rate.on_report(
                packets_lost=self._lost, highest_sequence=self._sent, now_ns=at_ms * NS_PER_MS
            )

    def _send_frame(self, at_ms: int) -> None:
        now_ns = at_ms * NS_PER_MS
        used_bps = self._used.bps(now_ns)
        every = self.spacing.choose(self._picture, self.rate.bitrate_bps, used_bps=used_bps)
        bits_per_s = min(self._demand_bps(at_ms), self.rate.bitrate_bps)
        size_bytes = max(60, int(bits_per_s * every / self._picture.fps / 8))
        self._used.add(size_bytes, now_ns)
        for start in range(0, size_bytes, PACKET_BYTES):
            self._send(min(PACKET_BYTES, size_bytes - start), at_ms, None)

    def _send(self, size_bytes: int, at_ms: int, probe: int | None) -> None:
        now_ns = at_ms * NS_PER_MS
        sequence = self._history.next_sequence()
        self._history.add(sequence, SentPacket(sent_ns=now_ns, size_bytes=size_bytes, probe=probe))
        if probe is None:
            self.rate.on_packet_sent(size_bytes, now_ns)
            self.sent_bytes += size_bytes
        self._sent += 1
        arrives_ms = self._queue.arrival_ms(size_bytes, at_ms)
        if arrives_ms is None:
            self._lost += 1
            return
        self._delay_ms = arrives_ms - at_ms
        heapq.heappush(self._arriving, (arrives_ms, sequence))

    def _on_report(self, report: bytes, at_ms: int) -> None:
        now_ns = at_ms * NS_PER_MS
        arrivals = read_arrivals(report)
        self.rate.on_arrivals(
            self._history.arrived(arrivals), missing=arrivals.missing, now_ns=now_ns
        )
        probe = self.rate.next_probe(now_ns) if self._probes else None
        if probe is not None:
            gap_ms = PACKET_BYTES * 8 * NS_PER_S / probe.bitrate_bps / NS_PER_MS
            packets = -(-probe.size_bytes // PACKET_BYTES)
            self._pending = [(at_ms + index * gap_ms, probe) for index in range(packets)]
