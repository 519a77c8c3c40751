"""The way of each frame for a while, as Chrome's trace viewer and Perfetto show it. Pure.

A frame is a row of its own (nestable asynchronous events, told apart by `id`), with its stages in
it; so is a chunk in the engine. Decisions (frames dropped, by cause) are instants, the age of what
is sent is a counter. Source: Trace Event Format, Google, sections "Nestable Async Events" and on.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.frame_stages import FrameStagesMs

TRACE_MAX_S = 60.0
_FRAMES_MAX = 4096  # a minute at more than 60 frames a second; the oldest go first
_DECISIONS_MAX = 4096
_NS_PER_US = 1000


class TraceEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event; `ts` is in microseconds on the server's monotonic clock."""

    name: str
    ph: str
    ts: float
    cat: str = "frame"
    id: str | None = None
    pid: int = 1
    tid: int = 1
    s: str | None = None
    args: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class _TracedFrame:
    chunk: int
    index: int
    rev: int
    first_ns: int
    taken_ns: int
    age_ms: float
    stages_ms: FrameStagesMs
    engine_ms: tuple[tuple[str, float], ...]


class FrameTrace:
    """Records a stream's frames and decisions, at most so many; older ones are dropped."""

    def __init__(self) -> None:
        self._frames: deque[_TracedFrame] = deque(maxlen=_FRAMES_MAX)
        self._decisions: deque[tuple[int, str, int]] = deque(maxlen=_DECISIONS_MAX)
        self._dropped: dict[str, int] | None = None

    def frame_sent(self, scheduled: ScheduledFrame, sent_ns: int) -> None:
        """A frame has been sent."""
        frame, stamps = scheduled.generated, scheduled.generated.stamps
        stages = stamps.stages
        first_ns = frame.arrived_ns if frame.first_packet_ns is None else frame.first_packet_ns
        self._frames.append(
            _TracedFrame(
                chunk=frame.chunk,
                index=frame.index,
                rev=frame.rev,
                first_ns=first_ns,
                taken_ns=stamps.taken_ns,
                age_ms=(sent_ns - frame.captured_ns) / 1e6,
                stages_ms=FrameStagesMs.of(scheduled, sent_ns),
                engine_ms=(
                    ("encode", stages.encode_ms),
                    ("denoise", stages.denoise_ms),
                    ("decode", stages.decode_ms),
                ),
            )
        )

    def dropped(self, totals: Mapping[str, int], now_ns: int) -> None:
        """The frames dropped so far, by cause; what was added since the last call is a decision."""
        if self._dropped is not None:
            for cause, total in totals.items():
                added = total - self._dropped.get(cause, 0)
                if added > 0:
                    self._decisions.append((now_ns, cause, added))
        self._dropped = dict(totals)

    def encoded(self) -> bytes:
        """The trace as JSON."""
        return msgspec.json.encode({"traceEvents": list(self.events()), "displayTimeUnit": "ms"})

    def events(self) -> Iterator[TraceEvent]:
        """Every event; those of one row in order."""
        for frame in self._frames:
            yield from _frame_events(frame)
            if frame.index == 0:
                yield from _chunk_events(frame)
        for at_ns, cause, count in self._decisions:
            yield TraceEvent(
                name=f"dropped: {cause}",
                ph="i",
                s="g",
                cat="decision",
                ts=at_ns / _NS_PER_US,
                args={"frames": count},
            )


def _frame_events(frame: _TracedFrame) -> Iterator[TraceEvent]:
    row, name = f"{frame.chunk}.{frame.index}", f"frame {frame.chunk}.{frame.index}"
    at_us = frame.first_ns / _NS_PER_US
    args = {"chunk": float(frame.chunk), "rev": float(frame.rev), "age_ms": frame.age_ms}
    yield TraceEvent(name=name, ph="b", id=row, ts=at_us, args=args)
    for stage in FrameStagesMs.__slots__:
        yield TraceEvent(name=stage, ph="b", id=row, ts=at_us)
        at_us += getattr(frame.stages_ms, stage) * 1000
        yield TraceEvent(name=stage, ph="e", id=row, ts=at_us)
    yield TraceEvent(name=name, ph="e", id=row, ts=at_us)
    yield TraceEvent(name="age", ph="C", cat="age", ts=at_us, args={"ms": frame.age_ms})


def _chunk_events(frame: _TracedFrame) -> Iterator[TraceEvent]:
    """The engine's passes, one after the other from where it began."""
    row, at_us = f"chunk {frame.chunk}", frame.taken_ns / _NS_PER_US
    end_us = at_us + frame.stages_ms.engine * 1000
    yield TraceEvent(name=row, ph="b", cat="engine", id=row, ts=at_us)
    for name, spent_ms in frame.engine_ms:
        yield TraceEvent(name=name, ph="b", cat="engine", id=row, ts=at_us)
        at_us = min(end_us, at_us + spent_ms * 1000)
        yield TraceEvent(name=name, ph="e", cat="engine", id=row, ts=at_us)
    yield TraceEvent(name=row, ph="e", cat="engine", id=row, ts=end_us)
