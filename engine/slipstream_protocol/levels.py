"""The levels of quality that a stream may be generated at, as data with its rules. Pure.

They are written as people write them: `4,3,2,1,1@12,1@8,held` are four levels by denoising steps,
then two of one step at 12 and at 8 frames a second, and at last a stream may be held, so that
older ones keep their promise. A level of smaller pictures names their scale after a slash, as
`1/192` and `1@12/192`: the shorter side that the model's own picture has there.
"""

import itertools
import re
from collections.abc import Collection

import msgspec

from slipstream_protocol.parameters import MAX_STEPS

HELD = "held"
MIN_FPS = 8.0  # a chunk is not waited for longer than half a second: less would cost as much
MAX_FPS = 120.0
MAX_LEVELS = 32
MAX_SIZE_PX = 16_384

_LEVEL = re.compile(
    r"(?P<steps>\d{1,3})(?:@(?P<fps>\d{1,4}(?:\.\d{1,3})?))?(?:/(?P<size>\d{1,5}))?"
)


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One quality of a stream; the default is that of a held one, for which nothing is generated.

    Args:
        steps: denoising steps of a chunk; 0 while the stream is held.
        fps: frames a second that are generated at the most; 0 for all that the camera sends.
        size_px: scale of the pictures, see `OfferedSize`; 0 for the model's largest.

    Raises:
        ValueError: if a number is out of its range.
    """

    steps: int = 0
    fps: float = 0.0
    size_px: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MAX_STEPS:
            raise ValueError(f"level has {self.steps} steps, it may have 1 to {MAX_STEPS}")
        if self.fps and not MIN_FPS <= self.fps <= MAX_FPS:
            raise ValueError(
                f"level has {self.fps:g} fps, it may have {MIN_FPS:g} to {MAX_FPS:g}, or none named"
            )
        if not 0 <= self.size_px <= MAX_SIZE_PX:
            raise ValueError(
                f"level has pictures of {self.size_px} px, it may have up to {MAX_SIZE_PX}"
            )

    @property
    def is_held(self) -> bool:
        """Whether nothing is generated."""
        return self.steps == 0

    @property
    def spec(self) -> str:
        """As it is written in a setting."""
        if self.is_held:
            return HELD
        fps = f"@{self.fps:g}" if self.fps else ""
        size = f"/{self.size_px}" if self.size_px else ""
        return f"{self.steps}{fps}{size}"

    @property
    def text(self) -> str:
        """For people."""
        if self.is_held:
            return HELD
        steps = f"{self.steps} step{'s' if self.steps > 1 else ''}"
        fps = f" at {self.fps:g} fps" if self.fps else ""
        size = f" of {self.size_px} px" if self.size_px else ""
        return f"{steps}{size}{fps}"

    def costs_more_than(self, other: "Level") -> bool:
        """Whether it costs more, on every device: no part is lower, and one is higher."""
        if other.is_held:
            return not self.is_held
        pairs = zip(self._costs, other._costs, strict=True)
        return all(ours >= others for ours, others in pairs) and self != other

    @property
    def _costs(self) -> tuple[float, ...]:
        return self.steps, self.fps or MAX_FPS + 1, self.size_px or MAX_SIZE_PX + 1


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """The levels of a model or a server, the best first.

    Args:
        running: the levels at which something is generated.
        can_hold: whether a stream may be held in the end, the newest first.

    Raises:
        ValueError: if there is none, or one does not cost less than the one before it.
    """

    running: tuple[Level, ...]
    can_hold: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.running) <= MAX_LEVELS:
            raise ValueError(
                f"ladder has {len(self.running)} levels, it must have 1 to {MAX_LEVELS}, as "
                "2,1,1@15,held"
            )
        for better, worse in itertools.pairwise(self.running):
            if worse.is_held or not better.costs_more_than(worse):
                raise ValueError(
                    f"ladder has {worse.spec} after {better.spec}, each level must cost less than "
                    "the one before it: no part of it higher, and one lower"
                )

    @property
    def spec(self) -> str:
        """As it is written in a setting."""
        return ",".join([*(level.spec for level in self.running), *([HELD] * self.can_hold)])

    @property
    def sizes_px(self) -> frozenset[int]:
        """The scales that are named."""
        return frozenset(level.size_px for level in self.running if level.size_px)

    def check_sizes(self, offered_px: Collection[int]) -> None:
        """Check that a model has every scale that is named.

        Raises:
            ValueError: if it has not.
        """
        if missing := sorted(self.sizes_px.difference(offered_px)):
            known = ", ".join(f"/{size_px}" for size_px in sorted(offered_px, reverse=True))
            raise ValueError(
                f"ladder has levels of {missing[0]} px, which this model does not generate; "
                f"name {known or 'no size'}"
            )

    def without_sizes(self) -> "Levels":
        """Those of a model that generates at one scale only."""
        levels = (Level(steps=level.steps, fps=level.fps) for level in self.running)
        return Levels(running=tuple(dict.fromkeys(levels)), can_hold=self.can_hold)

    def below(self, top: Level) -> tuple[Level, ...]:
        """A stream's own levels: `top`, and all of these that cost less."""
        return (top, *(level for level in self.running if top.costs_more_than(level)))


DEFAULT_LEVELS = Levels(
    running=(
        *(Level(steps=steps) for steps in range(MAX_STEPS, 0, -1)),
        *(Level(steps=1, fps=fps) for fps in (12.0, 8.0)),
    ),
    can_hold=True,
)


def parse_level(text: str) -> Level:
    """One level at which something is generated.

    Raises:
        ValueError: with the value, the rule and what to do.
    """
    match = _LEVEL.fullmatch(text.strip())
    if match is None or not int(match["steps"]):
        raise ValueError(
            f"level {text.strip()[:40]!r} is not STEPS[@FPS][/SIZE], as 2, 1@15, 1/192 or "
            "1@12/192: a codec cannot change while a stream runs"
        )
    return Level(
        steps=int(match["steps"]),
        fps=float(match["fps"] or 0),
        size_px=int(match["size"] or 0),
    )


def parse_levels(text: str) -> Levels:
    """Levels with commas between, the best first; `held` may be the last.

    Raises:
        ValueError: with the value, the rule and what to do.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    can_hold = bool(words) and words[-1] == HELD
    return Levels(
        running=tuple(parse_level(word) for word in words[: len(words) - can_hold]),
        can_hold=can_hold,
    )
