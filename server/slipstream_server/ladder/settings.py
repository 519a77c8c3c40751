"""Which levels a server's streams may be generated at. Pure."""

from dataclasses import dataclass

from slipstream_protocol.levels import Level, Levels, parse_level, parse_levels
from slipstream_protocol.messages import Ready
from slipstream_protocol.parameters import MAX_STEPS

OFF = "off"
_NOTHING_BELOW = Levels(running=(Level(steps=MAX_STEPS),))


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderSettings:
    """What an operator has set.

    Args:
        levels: None for the model's own.
        floor: no level below it is taken; None for all of them.

    Raises:
        ValueError: if the floor is above the top level.
    """

    levels: Levels | None = None
    floor: Level | None = None

    def __post_init__(self) -> None:
        if self.levels is None or self.floor is None or self.levels == _NOTHING_BELOW:
            return
        top = self.levels.running[0]
        if self.floor.costs_more_than(top):
            raise ValueError(
                f"quality floor is {self.floor.spec}, above the top of the ladder, which is "
                f"{top.spec}; name one of {self.levels.spec}"
            )

    @classmethod
    def parse(cls, ladder: str, floor: str) -> "LadderSettings":
        """From two settings; an empty one is not set.

        Raises:
            ValueError: with the value, the rule and what to do.
        """
        levels = _NOTHING_BELOW if ladder == OFF else parse_levels(ladder) if ladder else None
        return cls(levels=levels, floor=parse_level(floor) if floor else None)

    def check(self, ready: Ready) -> None:
        """Check that an engine has what they name.

        Raises:
            ValueError: if it does not generate at a size of theirs.
        """
        offered_px = {one.scale_px for one in ready.sizes}
        self.levels_of(ready.levels).check_sizes(offered_px)
        if self.floor is not None:
            Levels(running=(self.floor,)).check_sizes(offered_px)

    def levels_of(self, model: Levels) -> Levels:
        """Those of a model with levels of its own."""
        return self.levels or model

    def lowest_of(self, model: Levels) -> Level:
        """The least that a stream of a model comes down to without being held."""
        return self.floor or self.levels_of(model).running[-1]
