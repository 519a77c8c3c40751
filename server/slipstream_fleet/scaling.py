"""How many nodes there should be, by the places that are free now. Pure: times are arguments.

Not by requests: a stream is one request, and lasts. There are enough nodes for the streams there
are, and one spare that is ready, so that whoever comes does not wait for weights to be loaded. More
are asked for at once; fewer only when fewer were enough for a long time without a break.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """One node as it is counted.

    Args:
        streams: that it serves.
        free: streams more that it has room for.
    """

    streams: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRule:
    """The rule.

    Args:
        least, most: nodes.
        spare: nodes' worth of places that are to be free.
        down_delay_s: for how long fewer must be enough.

    Raises:
        ValueError: if `least` is above `most` or below 1, or another is below 0.
    """

    least: int
    most: int
    spare: int = 1
    down_delay_s: float = 600.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(
                f"least is {self.least} and most is {self.most}, 1 <= least <= most must hold"
            )
        if self.spare < 0 or self.down_delay_s < 0:
            raise ValueError(
                f"spare is {self.spare} and down_delay_s is {self.down_delay_s}, neither may be "
                "below 0"
            )

    def wanted(self, loads: "list[NodeLoad]", *, waiting: int = 0) -> int:
        """Nodes for the streams there are and those that wait, and the spare.

        Args:
            loads: of the nodes that are ready; what one holds is judged by the fullest of them.
            waiting: callers who have no place.
        """
        places = max((one.streams + one.free for one in loads), default=0)
        if not places:
            return max(self.least, min(self.most, 1))
        needed = math.ceil((sum(one.streams for one in loads) + waiting) / places)
        return max(self.least, min(self.most, needed + self.spare))


class ScaleDecision:
    """The number of nodes over time: up at once, down after the delay.

    Args:
        rule: the rule.
    """

    def __init__(self, rule: ScalingRule) -> None:
        self._rule = rule
        self._fewer_since_s: float | None = None
        self._most_wanted = 0

    def target(self, loads: list[NodeLoad], *, now: int, now_s: float, waiting: int = 0) -> int:
        """The number of nodes to have.

        Args:
            now: that there are, or are being started.
        """
        if not any(one.streams + one.free for one in loads):
            # none is ready yet, or again: nothing is known of what is enough
            self._fewer_since_s = None
            return max(now, self._rule.least)
        wanted = self._rule.wanted(loads, waiting=waiting)
        if wanted >= now:
            self._fewer_since_s = None
            return wanted
        if self._fewer_since_s is None:
            self._fewer_since_s, self._most_wanted = now_s, wanted
        # as many as were wanted at any time of the delay are kept
        self._most_wanted = max(self._most_wanted, wanted)
        if now_s - self._fewer_since_s < self._rule.down_delay_s:
            return now
        self._fewer_since_s = None
        return self._most_wanted
