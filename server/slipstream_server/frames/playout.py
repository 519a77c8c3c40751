"""Bursts of generated frames into one frame at its time. Pure.

This is one of the two places that may drop a frame; the other is `frames/chunker.py`.

A frame is shown `delay` after it was captured, the same delay for all, so the picture moves as the
camera saw it move. The delay is what the slowest chunk of late has needed: a late chunk raises it
at once, chunks that come early lower it little by little. Frames are never paced by how fast they
are made, which would let the wait grow without end.

A single late chunk is forgiven: it is shown late, and the delay falls again from the next chunk
on. A second one within the window keeps the delay where it has to be.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import StageTimes

_LATE_NS = 2 * NS_PER_MS  # a chunk must be here this long before its first frame is due
_SPARE_NS = 8 * NS_PER_MS  # slack that is left alone: the clock's and the loop's own jitter
_WINDOW_CHUNKS = 16
_PROOF_CHUNKS = 4  # this many must have come before the delay is lowered
_FORGIVEN = 1  # so many late chunks in the window do not hold the delay up
_SLEW_SHARE = 4  # of the spare slack, one part in this many is given up at each chunk
_MIN_STEP_NS = 1 * NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStamps:
    """The life of a chunk on the monotonic clock, and what the engine says of its own part."""

    chunked_ns: int
    submitted_ns: int
    taken_ns: int
    generated_ns: int
    received_ns: int
    stages: StageTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedFrame:
    """One generated frame, with the stamps of the camera frame it was made from.

    Args:
        first_packet_ns, captured_unix_ns: see `origin.Origin`; None where it is not known.
    """

    frame: I420
    captured_ns: int
    arrived_ns: int
    first_packet_ns: int | None = None
    captured_unix_ns: int | None = None
    chunk: int
    index: int
    rev: int
    stamps: ChunkStamps


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledFrame:
    """A frame whose time has come.

    Args:
        play_ns: that time, and the clock of its pts.
        popped_ns: when it was taken to be sent.
    """

    generated: GeneratedFrame
    play_ns: int
    popped_ns: int


class Playout:
    """Gives out each frame when it is due; never lets more than a chunk wait for the next to come.

    A whole chunk that still waits when the next one comes means the delay is too long, as after a
    stall: its first frame is then due at once. What waits beyond a chunk is dropped, oldest first.

    Drops are counted by cause: `overrun` are those, `overdue` a frame that was due together with
    a newer one, `disordered` one older than what came before it, `thinned` those left out because
    the viewer's link carries only one in `every_frames`.

    Args:
        chunk_frames: frames of a chunk; that many waiting are a chunk too much.
        window_chunks: how many chunks the slack is looked at over.
    """

    def __init__(self, *, chunk_frames: int, window_chunks: int = _WINDOW_CHUNKS) -> None:
        if chunk_frames < 1:
            raise ValueError(f"chunk_frames is {chunk_frames}, it must be at least 1")
        self.every_frames = 1
        self._chunk_frames = chunk_frames
        self._since_played_frames = 0  # frames, the next one included
        self._waiting: deque[GeneratedFrame] = deque()
        self._window = window_chunks
        self._slack_ns: deque[int] = deque(maxlen=window_chunks)
        self._drops: Counter[str] = Counter()
        self._delay_ns = 0
        self._started = False
        self._played_ns = 0
        self._newest_captured_ns = -1

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    @property
    def delay_ns(self) -> int:
        """From capture to its time on screen, as it is now."""
        return self._delay_ns

    @property
    def waiting_frames(self) -> int:
        return len(self._waiting)

    def push(self, frames: Sequence[GeneratedFrame], now_ns: int) -> None:
        """Take in one chunk, oldest frame first."""
        fresh = [frame for frame in frames if frame.captured_ns > self._newest_captured_ns]
        self._drops["disordered"] += len(frames) - len(fresh)
        if not fresh:
            return
        while len(self._waiting) > self._chunk_frames:
            self._waiting.popleft()
            self._drops["overrun"] += 1
        if len(self._waiting) == self._chunk_frames:
            self._shift(min(0, now_ns + _LATE_NS - self._due_ns(self._waiting[0])))
        self._pace(fresh[0], now_ns)
        self._waiting.extend(fresh)
        self._newest_captured_ns = fresh[-1].captured_ns

    def due_ns(self) -> int | None:
        """When the next frame is to be shown, or None when nothing waits."""
        return self._due_ns(self._waiting[0]) if self._waiting else None

    def pop(self, now_ns: int) -> ScheduledFrame | None:
        """The frame whose time has come, or None before its time; asked late, the newest due."""
        newest: GeneratedFrame | None = None
        while self._waiting and self._due_ns(self._waiting[0]) <= now_ns:
            self._drops["overdue"] += newest is not None
            newest = self._waiting.popleft()
        if newest is None:
            return None
        self._since_played_frames += 1
        if self._since_played_frames < self.every_frames:
            self._drops["thinned"] += 1
            return None
        self._since_played_frames = 0
        self._played_ns = max(self._due_ns(newest), self._played_ns + _MIN_STEP_NS)
        return ScheduledFrame(generated=newest, play_ns=self._played_ns, popped_ns=now_ns)

    def _due_ns(self, frame: GeneratedFrame) -> int:
        return frame.captured_ns + self._delay_ns

    def _shift(self, step_ns: int) -> None:
        """Show everything later by `step_ns`, earlier where it is negative."""
        self._delay_ns += step_ns
        self._slack_ns = deque((slack + step_ns for slack in self._slack_ns), self._window)

    def _pace(self, first: GeneratedFrame, now_ns: int) -> None:
        """Move the delay to where a chunk that begins with `first` wants it."""
        slack_ns = self._due_ns(first) - now_ns
        if not self._started or slack_ns < _LATE_NS:
            self._shift(_LATE_NS - slack_ns)
            slack_ns = _LATE_NS
            self._started = True
        self._slack_ns.append(slack_ns)
        if len(self._slack_ns) >= _PROOF_CHUNKS:
            spare_ns = sorted(self._slack_ns)[_FORGIVEN] - _LATE_NS - _SPARE_NS
            self._shift(min(0, -spare_ns // _SLEW_SHARE))
