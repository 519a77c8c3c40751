"""A change of a stream's level, a question about one, and the reasons in words. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.levels import Level

from slipstream_server.ladder.promise import Reading


class MoveCause(StrEnum):
    """Why a level changes."""

    AGE = "age"  # pictures are, or would be, too old
    RATE = "rate"  # too few of them come
    ROOM = "room"  # there is room for more
    RELAPSE = "relapse"  # a climb did not hold
    STALL = "stall"  # it was one chunk that took so long, and no slower device
    OTHERS = "others"  # older streams would break their promise
    RETURN = "return"  # they no longer would


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A stream goes from one level to another.

    Args:
        reading: of the stream at that moment; None where it had none.
        chunk_frames: pictures of a chunk.
    """

    before: Level
    after: Level
    cause: MoveCause
    reading: Reading | None
    chunk_frames: int

    @property
    def is_down(self) -> bool:
        """Whether it costs quality."""
        return self.before.costs_more_than(self.after)

    @property
    def text(self) -> str:
        """In words, as "2 steps -> 1 step: pictures were 1.2 s old"; what stays is not named."""
        if self.before.is_held or self.after.is_held:
            return f"{self.before.text} -> {self.after.text}: {self.why}"
        parts = zip(_parts(self.before), _parts(self.after), strict=True)
        changes = [f"{before} -> {after}" for before, after in parts if before != after]
        return f"{', '.join(changes)}: {self.why}"

    @property
    def why(self) -> str:
        """The reason alone."""
        if self.cause is MoveCause.OTHERS:
            return "the device is full, and older streams come first"
        if self.cause is MoveCause.RETURN:
            return "there is room on the device again"
        assert self.reading is not None, "every other move follows from a reading"
        age = f"{self.reading.age_ns / NS_PER_S:.1f} s old"
        fps = f"{self.chunk_frames * NS_PER_S / self.reading.period_ns:.0f}"
        match self.cause:
            case MoveCause.RATE:
                camera_fps = f"{self.reading.camera_fps:.0f}"
                return f"only {fps} pictures a second were made of {camera_fps}"
            case MoveCause.ROOM:
                return f"pictures are {age}, there is room for more"
            case MoveCause.STALL:
                return "the device was disturbed for a moment only"
            case MoveCause.RELAPSE:
                return f"it did not hold, pictures were {age} and {fps} a second"
        return f"pictures were {age}"


def _parts(level: Level) -> tuple[str, str, str]:
    """Steps, size and rate, each in words."""
    size = f"{level.size_px} px" if level.size_px else "the largest size"
    fps = f"{level.fps:g} pictures a second" if level.fps else "every picture"
    return f"{level.steps} step{'s' if level.steps > 1 else ''}", size, fps


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A viewer is asked before steps of their own choice are taken away.

    Args:
        move: that is made unless the answer is no.
        within_ns: when it is made without an answer.
    """

    move: Move
    within_ns: int
