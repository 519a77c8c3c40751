"""Packets of sound wait until the pictures that were captured with them go out. Pure.

A packet is due when it was captured, and a picture's age later: then lips fit. The age moves, and
the sender's clock is known better after its first report, so what a packet waits moves after them:
by a quarter of a packet's length with each packet, which a receiver's jitter buffer takes as
jitter. That would leave sound behind pictures that have become much older at once, as on a loaded
machine: what is further than `APART_NS` from its picture comes that near at once, as the picture
has stood still as well. In a silence, where nobody hears it, it comes all the way. Silence that is
not sent (DTX) is a gap in the RTP timestamps and stays one.

Every packet leaves `LEAD_NS` before it is due. A receiver keeps sound for about that long before it
plays it, pictures are shown at once: without the lead they would be kept too, for lips to fit.
"""

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

SOUND_HZ = 48_000  # the RTP clock of Opus (RFC 7587, section 4.1)
LEAD_NS = 40 * NS_PER_MS  # two packets of the usual length
# the most that sound is due from its picture: 45 ms too early is noticed (ITU-R BT.1359)
APART_NS = 30 * NS_PER_MS
_SLEW_SHARE = 4
_LONGEST_PACKET = SOUND_HZ * 120 // 1000  # of Opus; a longer way from one to the next is a silence
_OVERDUE_NS = 200 * NS_PER_MS  # a receiver has given it up by then
_MAX_PACKETS = 1024  # twenty seconds of the usual length
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSound:
    """A packet, with its times.

    Args:
        payload: as it came; of Opus.
        pts: its RTP time, in ticks of 48 kHz since the stream's first, whoever sends it.
        captured_ns: when it was captured, estimated as it is for pictures, on the monotonic clock.
    """

    payload: bytes
    pts: int
    captured_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSound:
    """A packet that leaves.

    Args:
        due_ns: when its picture goes out, on the monotonic clock; never falls.
    """

    sound: TimedSound
    due_ns: int


class DelayLine:
    """Gives back what came, in its order, each packet at its time.

    Nothing leaves before an age is known: there is no picture to fit to. Drops are counted by
    cause: `overflow` where too many waited, `overdue` what could not leave in time, `late` what
    came after a later one had left, `repeated` what came twice.

    Args:
        max_packets, max_bytes: that may wait; the oldest go first.
    """

    def __init__(self, *, max_packets: int = _MAX_PACKETS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._waiting: list[TimedSound] = []  # by pts
        self._waiting_bytes = 0
        self._drops: Counter[str] = Counter()
        self._age_ns: int | None = None
        self._shift_ns: int | None = None  # from pts to due, of the packet that left last
        self._left = (-1, 0)  # its pts, and when it was due

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def fit(self, age_ns: int) -> None:
        """Pictures go out so long after their capture now."""
        self._age_ns = age_ns

    def push(self, sound: TimedSound) -> None:
        """Take in a packet; those of one source mostly come in order."""
        if sound.pts <= self._left[0]:
            self._drops["late"] += 1
            return
        place = bisect.bisect_left(self._waiting, sound.pts, key=lambda one: one.pts)
        if place < len(self._waiting) and self._waiting[place].pts == sound.pts:
            self._drops["repeated"] += 1
            return
        self._waiting.insert(place, sound)
        self._waiting_bytes += len(sound.payload)
        while len(self._waiting) > self._max_packets or self._waiting_bytes > self._max_bytes:
            self._take()
            self._drops["overflow"] += 1

    def leaves_ns(self) -> int | None:
        """When the next packet leaves; None while none can."""
        if not self._waiting or self._age_ns is None:
            return None
        return self._due_ns(self._waiting[0], self._age_ns) - LEAD_NS

    def pop(self, now_ns: int) -> DueSound | None:
        """The next packet whose time has come; None where there is none."""
        while (leaves_ns := self.leaves_ns()) is not None and leaves_ns <= now_ns:
            sound, due_ns = self._take(), leaves_ns + LEAD_NS
            self._shift_ns = due_ns - _ticks_to_ns(sound.pts)
            self._left = sound.pts, due_ns
            if now_ns - leaves_ns <= _OVERDUE_NS:
                return DueSound(sound=sound, due_ns=due_ns)
            self._drops["overdue"] += 1
            self._shift_ns = None  # it is too far off to be followed little by little
        return None

    def _take(self) -> TimedSound:
        sound = self._waiting.pop(0)
        self._waiting_bytes -= len(sound.payload)
        return sound

    def _due_ns(self, sound: TimedSound, age_ns: int) -> int:
        pts_ns = _ticks_to_ns(sound.pts)
        shift_ns = sound.captured_ns + age_ns - pts_ns
        left_pts, left_due_ns = self._left
        ticks = sound.pts - left_pts
        if self._shift_ns is not None and ticks <= _LONGEST_PACKET:
            most_ns = _ticks_to_ns(ticks) // _SLEW_SHARE
            slow_ns = min(max(shift_ns, self._shift_ns - most_ns), self._shift_ns + most_ns)
            shift_ns = min(max(slow_ns, shift_ns - APART_NS), shift_ns + APART_NS)
        return max(pts_ns + shift_ns, left_due_ns)


def _ticks_to_ns(ticks: int) -> int:
    return ticks * NS_PER_S // SOUND_HZ
