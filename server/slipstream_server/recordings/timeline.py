"""Which part of a recording a packet is in, and at what time of it. Pure.

A file of MP4 has one size of picture: where that changes, another part begins. Each part begins
with a key frame; what is due before it is in the part before, or in none. Within a part times rise,
so that a player sees each frame.
"""

import re
from dataclasses import dataclass, field

from slipstream_protocol.clock import NS_PER_S, RTP_HZ

from slipstream_server.sound.delay_line import SOUND_HZ

_UNIT = re.compile(rb"\x00\x00\x01")
_PARAMETER_SETS, _SLICES = (7, 8), (1, 5)  # kinds of NAL units (ITU-T H.264, table 7-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPacket:
    """An encoded picture.

    Args:
        data: H.264 in Annex B.
        due_ns: when it goes out, on the monotonic clock.
    """

    data: bytes
    is_key: bool
    due_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundPacket:
    """A packet of Opus, due with its pictures."""

    data: bytes
    due_ns: int


@dataclass(slots=True)
class _Part:
    sets: tuple[bytes, ...]
    began_ns: int
    last: dict[type, int] = field(default_factory=dict)  # ticks, of each kind


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
                self._current = _Part(sets, packet.due_ns)
        current = self._current
        if current is None or packet.due_ns < current.began_ns:
            return None
        hz = RTP_HZ if isinstance(packet, VideoPacket) else SOUND_HZ
        ticks = (packet.due_ns - current.began_ns) * hz // NS_PER_S
        ticks = max(ticks, current.last.get(type(packet), -1) + 1)
        current.last[type(packet)] = ticks
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
