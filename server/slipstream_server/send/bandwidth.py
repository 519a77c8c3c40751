"""The viewer's feedback on its link, turned into bits and frames per second. Pure.

There are two kinds: the receiver's own estimate of the link (REMB), of which some room is left for
retransmissions, and the share of packets lost. The lower bitrate counts. Where no estimate comes,
the bitrate rises as long as little is lost. There is a floor, and it is low: with a high one no
picture arrives where the link cannot carry it.
"""

from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

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
        self._link_bps = float(START_BPS)  # what the receiver's estimate allows
        self._has_estimate = False
        self._loss_bps = float(ceiling_bps)  # what the losses allow
        self._cut_ns: int | None = None
        self._report: _Report | None = None

    def on_remb(self, bitrate_bps: int) -> None:
        """The receiver's estimate of what the link carries."""
        self._link_bps = bitrate_bps * _REMB_SHARE
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
                self._link_bps = min(self.ceiling_bps, self._link_bps * growth)
        self._update_bitrate()

    def _update_bitrate(self) -> None:
        wanted_bps = min(self._loss_bps, self._link_bps, self.ceiling_bps)
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

    def choose(self, picture: PictureFormat, bitrate_bps: int) -> int:
        """One in so many frames is to be sent."""
        needed_bps = _MIN_BITS_PER_PIXEL * picture.pixels * picture.fps
        for every in range(1, _SPACING_MAX + 1):
            margin = _HYSTERESIS if every < self.every_frames else 1.0
            if bitrate_bps * every >= needed_bps * margin:
                break
        self.every_frames = every
        return every
