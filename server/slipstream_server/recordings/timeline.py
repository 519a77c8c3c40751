"""Which part of a recording a packet is in, and at what time of it. Pure.

A file of MP4 has one size of picture: where that changes, another part begins. Each part begins
with a key frame; what was captured before it is in the part before, or in none. Within a part times
rise, so that a player sees each frame.

Times are those of capture: there pictures and sound of one moment meet, however late the pictures
were made. Sound goes on where the packet before has ended, so that its samples make one whole,
unless that is more than `_DRIFT_NS` from where it was captured.
"""

import re
from dataclasses import dataclass, field

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, RTP_HZ

from slipstream_server.sound.delay_line import SOUND_HZ

_DRIFT_NS = 20 * NS_PER_MS  # a packet of the usual length
_UNIT = re.compile(rb"\x00\x00\x01")
_PARAMETER_SETS, _SLICES = (7, 8), (1, 5)  # kinds of NAL units (ITU-T H.264, table 7-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPacket:
    """An encoded picture.

    Args:
        data: H.264 in Annex B.
        captured_ns: the moment that it shows, on the monotonic clock.
    """

    data: bytes
    is_key: bool
    captured_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundPacket:
    """A packet of Opus.

    Args:
        pts: its RTP time, in ticks of 48 kHz.
        captured_ns: when it was captured, on the clock of the pictures.
    """

    data: bytes
    pts: int
    captured_ns: int


@dataclass(slots=True)
class _Part:
    sets: tuple[bytes, ...]
    began_ns: int
    last: dict[type, int] = field(default_factory=dict)  # ticks, of each kind
    sound_pts: int = 0  # of the last sound


class RecordingTimeline:
    """Places the packets of one recording, in the order that they come.

    Attributes:
        part: the number of the part, from 1; 0 before the first key frame.
    """

    def __init__(self) -> None:
        self.part = 0
        self._current: _Part | None = None

    def place(self, packet: VideoPacket | SoundPacket) -> int | None:
        """The packet's time in ticks of its RTP clock since the part began; None where it is in
        none. A key frame may begin another part."""
        if isinstance(packet, VideoPacket) and packet.is_key:
            sets = parameter_sets(packet.data)
            if sets and (self._current is None or sets != self._current.sets):
                self.part += 1
                self._current = _Part(sets, packet.captured_ns)
        part = self._current
        if part is None or packet.captured_ns < part.began_ns:
            return None
        since_ns = packet.captured_ns - part.began_ns
        last = part.last.get(type(packet))
        if isinstance(packet, VideoPacket):
            ticks = since_ns * RTP_HZ // NS_PER_S
        else:
            ticks = since_ns * SOUND_HZ // NS_PER_S
            if last is not None:
                follows = last + packet.pts - part.sound_pts
                if abs(follows - ticks) <= _DRIFT_NS * SOUND_HZ // NS_PER_S:
                    ticks = follows
            part.sound_pts = packet.pts
        if last is not None:
            ticks = max(ticks, last + 1)
        part.last[type(packet)] = ticks
        return ticks


def parameter_sets(data: bytes) -> tuple[bytes, ...]:
    """The parameter sets before a picture's slices, which say its size among others."""
    starts = [found.end() for found in _UNIT.finditer(data)]
    sets = []
    for start, end in zip(starts, [*(at - 3 for at in starts[1:]), len(data)], strict=True):
        if start == end:
            continue
        kind = data[start] & 0x1F
        if kind in _SLICES:
            break
        if kind in _PARAMETER_SETS:
            sets.append(data[start:end].rstrip(b"\0"))
    return tuple(sets)
