"""What one call has shown, as it was received, and the figures that come of it. Pure.

Times are ns on the monotonic clock. A freeze is one by the definition of W3C's webrtc-stats: an
interval longer than three times the mean of those before it, and than that mean and 150 ms.
"""

import itertools
from collections import deque
from dataclasses import dataclass, field

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

_FREEZE_MEAN_OF = 30
_FREEZE_FACTOR = 3
_FREEZE_MORE_NS = 150 * NS_PER_MS
_SETTLE_NS = NS_PER_S  # of the beginning, which the start-up tells of
_MESSAGES_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFrame:
    """One frame.

    Args:
        at_ns: when it was decoded.
        number: read from its pixels, if it could be.
        drawn_ns: when the picture with that number was drawn.
        size: width and height in pixels.
    """

    at_ns: int
    number: int | None
    drawn_ns: int | None
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TimedMessage:
    """What the server said on the data channel.

    Args:
        at_ns: when.
        text: the JSON.
    """

    at_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Freezes:
    """How often the picture stood, and for how long in all."""

    count: int
    frozen_ms: float


@dataclass(slots=True)
class CallRecord:
    """One call from its offer on; None is for what has not happened.

    Args:
        offered_ns: when the offer left.
        answered_ns, connected_ns: the answer is here; there is a path for media.
        frames: every one received.
        messages: the last of the server's.
    """

    offered_ns: int = 0
    answered_ns: int | None = None
    connected_ns: int | None = None
    frames: list[ReceivedFrame] = field(default_factory=list)
    messages: deque[TimedMessage] = field(default_factory=lambda: deque(maxlen=_MESSAGES_MAX))

    def since_offer_ms(self, at_ns: int | None) -> float | None:
        """From the offer to a moment."""
        return None if at_ns is None else (at_ns - self.offered_ns) / NS_PER_MS

    @property
    def first_frame_ns(self) -> int | None:
        return self.frames[0].at_ns if self.frames else None

    def settled(self) -> list[ReceivedFrame]:
        """The frames without those of the first second."""
        if not self.frames:
            return []
        start_ns = self.frames[0].at_ns + _SETTLE_NS
        return [frame for frame in self.frames if frame.at_ns > start_ns]


def glass_ms(frames: list[ReceivedFrame]) -> list[float]:
    """From drawn to decoded, of each frame whose number is read and known."""
    return [
        (frame.at_ns - frame.drawn_ns) / NS_PER_MS for frame in frames if frame.drawn_ns is not None
    ]


def gaps_ms(frames: list[ReceivedFrame]) -> list[float]:
    """Between each two frames that follow one another."""
    return [(b.at_ns - a.at_ns) / NS_PER_MS for a, b in itertools.pairwise(frames)]


def fps(frames: list[ReceivedFrame]) -> float:
    """Frames a second; 0 of fewer than two."""
    if len(frames) < 2:
        return 0.0
    return (len(frames) - 1) * NS_PER_S / (frames[-1].at_ns - frames[0].at_ns)


def freezes(frames: list[ReceivedFrame], *, end_ns: int) -> Freezes:
    """The freezes among the frames, and the one that lasts at the end if there is one."""
    recent: deque[int] = deque(maxlen=_FREEZE_MEAN_OF)
    count, frozen_ns = 0, 0
    moments = [frame.at_ns for frame in frames]
    for before_ns, after_ns in itertools.pairwise([*moments, end_ns] if moments else []):
        interval_ns = after_ns - before_ns
        if recent:
            mean_ns = sum(recent) / len(recent)
            if interval_ns > max(_FREEZE_FACTOR * mean_ns, mean_ns + _FREEZE_MORE_NS):
                count += 1
                frozen_ns += interval_ns
        recent.append(interval_ns)
    return Freezes(count, frozen_ns / NS_PER_MS)


def size_changes(frames: list[ReceivedFrame]) -> list[ReceivedFrame]:
    """The frames whose size is another than that of the one before."""
    return [b for a, b in itertools.pairwise(frames) if a.size != b.size]
