"""One stream's sound: from its publisher, by the delay of its pictures, to every receiver."""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S, now_ns

from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.sliding_window import SlidingWindow
from slipstream_server.receive.sound_times import ReceivedSound, SoundTimes
from slipstream_server.send.opus_track import OpusTrack
from slipstream_server.sound.delay_line import LEAD_NS, DelayLine, DueSound


class SoundSink(Protocol):
    """Where sound goes, each packet at its time."""

    def push(self, due: DueSound) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How far sound has been from its pictures, over ten seconds, as they left here.

    Args:
        p50_ms: above 0 where sound was behind.
        p95_ms: of its amount.
    """

    p50_ms: float
    p95_ms: float


class SoundPipe:
    """Sound in by `push`, and out of every sink while `run` runs, as old as the pictures are.

    Attributes:
        is_offered: whether the stream's publisher may send sound.
        sinks: that are sent it.
    """

    def __init__(self) -> None:
        self.is_offered = False
        self.sinks: list[SoundSink] = []
        self._tracks: list[OpusTrack] = []  # of connected receivers
        self._times = SoundTimes()
        self._line = DelayLine()
        self._sent_age_ns: int | None = None  # of the last picture
        self._passed = 0
        self._skews_ms: SlidingWindow[float] = SlidingWindow()
        self._changed = asyncio.Event()

    @property
    def counts(self) -> Mapping[str, int]:
        """Packets that were passed on (`sound`), and those dropped by cause."""
        drops = {f"sound_{cause}": count for cause, count in self._line.drops.items()}
        return Counter({"sound": self._passed, **drops})

    def track(self) -> OpusTrack:
        """A track for one more receiver."""
        return OpusTrack(self._tracks)

    def skew(self) -> Skew | None:
        """Of late; None where there was no sound."""
        self._skews_ms.trim(now_ns())
        skews_ms = sorted(self._skews_ms.values(lambda skew_ms: skew_ms))
        if not skews_ms:
            return None
        amounts_ms = sorted(map(abs, skews_ms))
        return Skew(
            p50_ms=skews_ms[len(skews_ms) // 2],
            p95_ms=amounts_ms[math.ceil(0.95 * len(amounts_ms)) - 1],
        )

    def on_captured(self, frame: CapturedFrame) -> None:
        """A picture of the publisher has come."""
        self._times.on_picture(
            captured_ns=frame.captured_ns, captured_unix_ns=frame.captured_unix_ns
        )

    def on_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """A picture goes out."""
        captured_ns = scheduled.generated.stands_for_ns
        self._sent_age_ns = sent_ns - captured_ns
        self._line.fit(scheduled.play_ns - captured_ns)
        self._changed.set()

    def push(self, received: ReceivedSound) -> None:
        """Take in a packet of the publisher."""
        self._line.push(self._times.timed(received))
        if len(self._line) == 1:  # else `run` waits for one before it
            self._changed.set()

    async def run(self) -> None:
        """Pass on each packet when its time comes, until cancelled."""
        while True:
            while (due := self._line.pop(now_ns())) is not None:
                self._pass_on(due)
            self._changed.clear()
            leaves_ns = self._line.leaves_ns()
            wait_s = None if leaves_ns is None else max(0.0, (leaves_ns - now_ns()) / NS_PER_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _pass_on(self, due: DueSound) -> None:
        now = now_ns()
        self._passed += 1
        if self._sent_age_ns is not None:
            age_ns = now + LEAD_NS - due.sound.captured_ns
            self._skews_ms.add(now, (age_ns - self._sent_age_ns) / NS_PER_MS)
            self._skews_ms.trim(now)
        for sink in (*self._tracks, *self.sinks):
            sink.push(due)
