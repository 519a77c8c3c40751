"""Bursts of generated frames into one frame at its time; may leave some out. Pure.

A frame is played `delay` after it was captured, the same delay for all, so the picture moves as the
camera saw it move. The delay is what the slowest chunk of late has needed: a late chunk raises it
at once, chunks that come early lower it little by little. Frames are never paced by the rate at
which they are generated, which would let the wait grow without end. A frame that is repeated, since
the camera sends no other, is played as if it had been captured at the moment it stands for.

A single late chunk is forgiven: it is played late, and the delay falls again from the next chunk
on. A second one within the window keeps the delay where it has to be.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import I420
from slipstream_protocol.messages import StageTimes

_MARGIN_NS = 2 * NS_PER_MS  # from the arrival of a chunk to its first frame, at least
_SPARE_NS = 8 * NS_PER_MS  # delay beyond the need that is kept, for the event loop's own jitter
_WINDOW_CHUNKS = 16
_PROOF_CHUNKS = 4  # this many must have come before the delay is lowered
_FORGIVEN_CHUNKS = 1  # so many late chunks in the window do not keep the delay up
_SLEW_SHARE = 4  # of the spare delay, one part in this many is given up at each chunk
_MIN_STEP_NS = 1 * NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStamps:
    """The times of a chunk on the monotonic clock, and the engine's own measurements.

    Args:
        chunked_ns: its frames were chosen.
        submitted_ns: it was sent to the engine.
        taken_ns, generated_ns: the engine began and ended.
        received_ns: its frames came back.
        stages: milliseconds in each stage of the engine.
    """

    chunked_ns: int
    submitted_ns: int
    taken_ns: int
    generated_ns: int
    received_ns: int
    stages: StageTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedFrame:
    """One generated frame, with the stamps of the camera frame it was generated from.

    Args:
        captured_ns, arrived_ns, first_packet_ns, captured_unix_ns, repeated_after_ns: see
            `chunker.CapturedFrame`.
        chunk, index: the number of its chunk in the stream, and its place in it.
        rev: the newest revision of the parameters that it was generated with.
    """

    frame: I420
    captured_ns: int
    arrived_ns: int
    first_packet_ns: int | None = None
    captured_unix_ns: int | None = None
    repeated_after_ns: int = 0
    chunk: int
    index: int
    rev: int
    stamps: ChunkStamps

    @property
    def stands_for_ns(self) -> int:
        """See `chunker.CapturedFrame`."""
        return self.captured_ns + self.repeated_after_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledFrame:
    """A frame that is due.

    Args:
        play_ns: when it was due; its pts is on this clock. Strictly rising.
        popped_ns: when it left the playout to be sent.
    """

    generated: GeneratedFrame
    play_ns: int
    popped_ns: int


class Playout:
    """Releases each frame when it is due. When a chunk comes, no more than one other still waits.

    A whole chunk that still waits when the next one comes means the delay is too long, as after a
    stall: its first frame is then due at once. Frames beyond a chunk are dropped, oldest first.

    Drops are counted by cause: `overrun` are those, `overdue` a frame that was due together with
    a newer one, `disordered` one older than an earlier one, `thinned` those left out because the
    viewer's link carries only one in `every_frames`.

    Args:
        chunk_frames: frames of a chunk; that many waiting are a chunk too much.
        window_chunks: how many chunks decide about the delay.
    """

    def __init__(self, *, chunk_frames: int, window_chunks: int = _WINDOW_CHUNKS) -> None:
        if chunk_frames < 1:
            raise ValueError(f"chunk_frames is {chunk_frames}, it must be at least 1")
        self.every_frames = 1
        self._chunk_frames = chunk_frames
        self._due_frames = 0  # since the last one released
        self._waiting: deque[GeneratedFrame] = deque()
        self._ages_ns: deque[int] = deque(maxlen=window_chunks)  # of chunks, on arrival
        self._drops: Counter[str] = Counter()
        self._delay_ns = 0
        self._is_started = False
        self._played_ns = 0
        self._newest = (-1, 0)  # captured, held

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def push(self, frames: Sequence[GeneratedFrame], now_ns: int) -> None:
        """Take in one chunk, oldest frame first."""
        fresh = [
            frame for frame in frames if (frame.captured_ns, frame.repeated_after_ns) > self._newest
        ]
        self._drops["disordered"] += len(frames) - len(fresh)
        if not fresh:
            return
        while len(self._waiting) > self._chunk_frames:
            self._waiting.popleft()
            self._drops["overrun"] += 1
        if len(self._waiting) == self._chunk_frames:
            self._delay_ns += min(0, now_ns + _MARGIN_NS - self._due_ns(self._waiting[0]))
        self._adapt_delay(fresh[0], now_ns)
        self._waiting.extend(fresh)
        self._newest = fresh[-1].captured_ns, fresh[-1].repeated_after_ns

    def due_ns(self) -> int | None:
        """When the next frame is due; None while none waits."""
        return self._due_ns(self._waiting[0]) if self._waiting else None

    def pop(self, now_ns: int) -> ScheduledFrame | None:
        """The frame that is due, the newest where several are; None where none is."""
        newest: GeneratedFrame | None = None
        while self._waiting and self._due_ns(self._waiting[0]) <= now_ns:
            self._drops["overdue"] += newest is not None
            newest = self._waiting.popleft()
        if newest is None:
            return None
        self._due_frames += 1
        if self._due_frames < self.every_frames:
            self._drops["thinned"] += 1
            return None
        self._due_frames = 0
        self._played_ns = max(self._due_ns(newest), self._played_ns + _MIN_STEP_NS)
        return ScheduledFrame(generated=newest, play_ns=self._played_ns, popped_ns=now_ns)

    def _due_ns(self, frame: GeneratedFrame) -> int:
        return frame.stands_for_ns + self._delay_ns

    def _adapt_delay(self, first: GeneratedFrame, now_ns: int) -> None:
        """Raise the delay at once to what the chunk that begins with `first` needs; lower it by a
        share of what the chunks of the window have not needed."""
        age_ns = now_ns - first.stands_for_ns
        self._ages_ns.append(age_ns)
        if not self._is_started or self._delay_ns < age_ns + _MARGIN_NS:
            self._delay_ns = age_ns + _MARGIN_NS
            self._is_started = True
        if len(self._ages_ns) >= _PROOF_CHUNKS:
            needed_ns = sorted(self._ages_ns)[-1 - _FORGIVEN_CHUNKS] + _MARGIN_NS
            spare_ns = self._delay_ns - needed_ns - _SPARE_NS
            self._delay_ns += min(0, -spare_ns // _SLEW_SHARE)
