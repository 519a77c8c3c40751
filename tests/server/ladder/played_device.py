"""A ladder on a device that is played."""

from dataclasses import dataclass, field

from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.levels import DEFAULT_LEVELS, Level, parse_level, parse_levels
from slipstream_server.ladder.ladder import Ladder
from slipstream_server.ladder.moves import Move, Question
from slipstream_server.ladder.promise import Others

from tests.server.ladder.readings import PROMISE, reading


@dataclass(slots=True, kw_only=True)
class Device:
    """A ladder on a device whose times can be turned; the clock moves from chunk to chunk."""

    ladder: Ladder
    codec_ms: float = 40.0
    step_ms: float = 40.0
    beside_ms: float = 0.0
    camera_fps: float = 30.0
    link_ms: float = 0.0
    others: Others = field(default_factory=Others)
    now_ns: int = 0
    moves: list[tuple[float, Move]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    @property
    def at_s(self) -> float:
        return self.now_ns / NS_PER_S

    def run(self, seconds: float) -> None:
        """Chunk after chunk."""
        end_ns = self.now_ns + round(seconds * NS_PER_S)
        while self.now_ns < end_ns:
            now = reading(
                self.ladder.level if not self.ladder.level.is_held else Level(steps=1),
                codec_ms=self.codec_ms,
                step_ms=self.step_ms,
                beside_ms=self.beside_ms,
                camera_fps=self.camera_fps,
                link_ms=self.link_ms,
            )
            self.now_ns += round(now.period_ns)
            decision = self.ladder.observe(now, self.others, self.now_ns)
            if isinstance(decision, Move):
                assert decision.after == self.ladder.level
                self.moves.append((self.at_s, decision))
            elif decision is not None:
                self.questions.append(decision)

    @property
    def path(self) -> list[str]:
        return [move.after.spec for _, move in self.moves]


def device(
    *,
    steps: int = 4,
    is_own: bool = False,
    floor: str = "",
    ladder: str = "",
    size_px: int = 0,
    **dials: float,
) -> Device:
    own = Ladder(
        parse_levels(ladder) if ladder else DEFAULT_LEVELS,
        floor=parse_level(floor) if floor else None,
        promise=PROMISE,
        steps=steps,
        is_own=is_own,
        size_px=size_px,
    )
    return Device(ladder=own, **dials)  # type: ignore[arg-type]  # the dials are all numbers


def failing_climbs(seconds: float) -> Device:
    """A device on which every climb looks possible, and none is."""
    one = device(codec_ms=80, step_ms=80)
    one.run(10)
    end_s = one.at_s + seconds
    while one.at_s < end_s:
        is_high = one.ladder.level.steps > 2
        one.codec_ms = one.step_ms = 80 if is_high else 30
        one.run(0.01)
    return one
