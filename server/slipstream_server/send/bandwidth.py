"""The viewer's feedback on its link, turned into bits and frames per second. Pure.

There are three kinds: when each packet came (`link_estimator.py`), the receiver's own estimate of
the link (REMB), of which some room is left for retransmissions, and the share of packets lost. The
lowest bitrate counts. An estimate of the receiver's is bound by what has arrived, so that it is a
limit only where what is sent comes near it. Where neither times nor estimates come, the bitrate
rises as long as little is lost. There is a floor, and it is low: with a high one no picture arrives
where the link cannot carry it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_server.send.link_estimator import NEAR_SHARE, LinkEstimator, Probe
from slipstream_server.send.send_history import ArrivedPacket

FLOOR_BPS = 250_000
START_BPS = 2_500_000
_REMB_SHARE = 0.85
_LOSS_HIGH = 0.10  # above: the link is too full
_LOSS_LOW = 0.02  # below: it may have room
_CUT_MIN = 0.5  # the least share of the bitrate that is left after losses
_CUT_EVERY_NS = 500 * NS_PER_MS
_WINDOW_NS = 250 * NS_PER_MS  # shorter reports, of which a lossy link brings many, add up
_WINDOW_PACKETS = 20
_GROWTH_PER_S = 1.08
_FALL = 0.9  # smaller steps than these change nothing
_RISE = 1.2
_MIN_BITS_PER_PIXEL = 0.042  # 400 kbit/s at 832x480, 24 fps; below it a frame falls apart
_SPACING_MAX = 3
_HYSTERESIS = 1.15
_LIMITED_SHARE = 0.8  # an encoder that uses this much of its bitrate would use more
_SLACK_SHARE = 0.6  # one that uses less has what it needs
_MEAN_NS = NS_PER_S
_MEAN_MIN_NS = NS_PER_S // 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFormat:
    """The pictures to be sent.

    Args:
        pixels: of a frame.
        fps: of the frames generated, sent or not.
    """

    pixels: int
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    packets_lost: int
    highest_sequence: int
    at_ns: int
    bitrate_bps: int  # from then on


class MeanRate:
    """The mean bitrate of what was sent over the last second, or since the first of it."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._sent: deque[tuple[int, int]] = deque()
        self._size_bytes = 0

    def add(self, size_bytes: int, now_ns: int) -> None:
        if self._since_ns is None:
            self._since_ns = now_ns
        self._sent.append((now_ns, size_bytes))
        self._size_bytes += size_bytes
        self._forget(now_ns)

    def bps(self, now_ns: int) -> float:
        self._forget(now_ns)
        if self._since_ns is None:
            return 0.0
        span_ns = min(_MEAN_NS, max(_MEAN_MIN_NS, now_ns - self._since_ns))
        return 8.0 * self._size_bytes * NS_PER_S / span_ns

    def _forget(self, now_ns: int) -> None:
        while self._sent and self._sent[0][0] <= now_ns - _MEAN_NS:
            self._size_bytes -= self._sent.popleft()[1]


class RateControl:
    """The bitrate of one viewer's picture.

    Args:
        ceiling_bps: the highest bitrate.
        floor_bps: the lowest.
    """

    def __init__(self, *, ceiling_bps: int, floor_bps: int = FLOOR_BPS) -> None:
        if not 0 < floor_bps <= ceiling_bps:
            raise ValueError(
                f"floor_bps is {floor_bps}, it must be above 0 and at most the ceiling, "
                f"{ceiling_bps}"
            )
        self.ceiling_bps = ceiling_bps
        self.floor_bps = floor_bps
        self.bitrate_bps = min(ceiling_bps, max(floor_bps, START_BPS))
        self._link = LinkEstimator(
            start_bps=self.bitrate_bps, floor_bps=floor_bps, ceiling_bps=ceiling_bps
        )
        self._has_arrivals = False  # whether the receiver tells when packets came
        self._sent = MeanRate()
        self._receiver_bps = float(START_BPS)  # what the receiver's estimate allows
        self._has_estimate = False
        self._loss_bps = float(ceiling_bps)  # what the losses allow
        self._cut_ns: int | None = None
        self._report: _Report | None = None

    def on_packet_sent(self, size_bytes: int, now_ns: int) -> None:
        """A packet has left."""
        self._sent.add(size_bytes, now_ns)

    def on_arrivals(self, packets: Sequence[ArrivedPacket], *, missing: int, now_ns: int) -> None:
        """The receiver has told when packets came, and how many are missing."""
        probed_bps = self._link.probed_bps
        self._has_arrivals = True
        self._link.on_arrivals(
            packets, missing=missing, sent_bps=self._sent.bps(now_ns), now_ns=now_ns
        )
        if self._link.probed_bps != probed_bps:  # it got through: the losses before are over
            self._loss_bps = max(self._loss_bps, self._link.probed_bps)
            self._receiver_bps = max(self._receiver_bps, self._link.probed_bps)
        self._update_bitrate()

    def is_queueing(self, now_ns: int) -> bool:
        """Whether a queue has grown on the link of late."""
        return self._link.is_queueing(now_ns)

    def next_probe(self, now_ns: int) -> Probe | None:
        """Packets to be sent again, to know whether the link carries more; None for none."""
        return self._link.next_probe(self._sent.bps(now_ns), now_ns)

    def on_remb(self, bitrate_bps: int, now_ns: int) -> None:
        """The receiver's estimate of what the link carries."""
        allowed_bps = bitrate_bps * _REMB_SHARE
        is_near = self._sent.bps(now_ns) >= NEAR_SHARE * bitrate_bps
        if is_near or allowed_bps > self._receiver_bps:
            self._receiver_bps = allowed_bps
            self._has_estimate = True
        self._update_bitrate()

    def on_report(self, *, packets_lost: int, highest_sequence: int, now_ns: int) -> None:
        """A reception report: both counts are of the whole call (RFC 3550, section 6.4.1)."""
        report = _Report(
            packets_lost=packets_lost,
            highest_sequence=highest_sequence,
            at_ns=now_ns,
            bitrate_bps=self.bitrate_bps,
        )
        before = self._report
        if before is None:
            self._report = report
            return
        expected = highest_sequence - before.highest_sequence
        since_ns = now_ns - before.at_ns
        if since_ns < _WINDOW_NS or (expected < _WINDOW_PACKETS and since_ns < NS_PER_S):
            return
        self._report = report
        if expected > 0:
            self._on_loss(max(0, packets_lost - before.packets_lost) / expected, before, now_ns)

    def _on_loss(self, share: float, since: _Report, now_ns: int) -> None:
        """The share of packets lost, 0 to 1, since a report.

        They were sent at the bitrate of that time: where it was cut since then, as the receiver's
        estimate fell, that cut is not to be made twice.
        """
        if share > _LOSS_HIGH:
            if self._cut_ns is None or now_ns - self._cut_ns >= _CUT_EVERY_NS:
                self._cut_ns = now_ns
                arrived = max(_CUT_MIN, 1 - share)
                self._loss_bps = max(self.floor_bps, since.bitrate_bps * arrived)
        elif share < _LOSS_LOW:
            growth = _GROWTH_PER_S ** min((now_ns - since.at_ns) / NS_PER_S, 2.0)
            self._loss_bps = min(self.ceiling_bps, self._loss_bps * growth)
            if not self._has_estimate:
                self._receiver_bps = min(self.ceiling_bps, self._receiver_bps * growth)
        self._update_bitrate()

    def _update_bitrate(self) -> None:
        link_bps = self._receiver_bps
        if self._has_arrivals:
            link_bps = self._link.target_bps
            if self._has_estimate:
                link_bps = min(link_bps, self._receiver_bps)
        wanted_bps = min(self._loss_bps, link_bps, self.ceiling_bps)
        wanted_bps = max(self.floor_bps, wanted_bps)
        step = wanted_bps / self.bitrate_bps
        is_at_limit = wanted_bps in (self.floor_bps, self.ceiling_bps)
        if step < _FALL or step > _RISE or is_at_limit:
            self.bitrate_bps = int(wanted_bps)


class FrameSpacing:
    """How many frames to leave out so that each of the others has enough bits.

    Fewer frames before a smaller size: a smaller size costs a key frame, and comes back as another.
    """

    def __init__(self) -> None:
        self.every_frames = 1

    def choose(self, picture: PictureFormat, bitrate_bps: int, *, used_bps: float) -> int:
        """One in so many frames is to be sent.

        Args:
            used_bps: what the encoder has made of late: pictures that need less than there is are
                sent at their full rate, however little there is.
        """
        needed_bps = _MIN_BITS_PER_PIXEL * picture.pixels * picture.fps
        for every in range(1, _SPACING_MAX + 1):
            margin = _HYSTERESIS if every < self.every_frames else 1.0
            if bitrate_bps * every >= needed_bps * margin:
                break
        if used_bps < _SLACK_SHARE * bitrate_bps:
            every = 1
        elif used_bps < _LIMITED_SHARE * bitrate_bps:
            every = min(every, self.every_frames)
        self.every_frames = every
        return every
