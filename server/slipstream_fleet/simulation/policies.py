"""Who decides how, in a simulated fleet: where a call goes, when it moves, how many nodes there
are. Pure.

The fleet's own rules are those of placement.py and scaling.py themselves.
"""

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream_fleet.placement import NodePlaces
from slipstream_fleet.scaling import NodeLoad, ScaleDecision, ScalingRule
from slipstream_fleet.simulation.scenario import FleetScenario

RATE_WINDOW_S = 300.0
_SPARE_DELAY_S = 600.0


class Moves(enum.Enum):
    """When a call that goes on is moved to another node."""

    NEVER = "a node that is not needed takes no new calls, and ends when its last call does"
    LEAVING = "when its node leaves"
    EVENLY = "when its node leaves, and when another has two streams fewer"


class ChoosesNode(Protocol):
    """Which node a call goes to: one of those with free places, by number."""

    def __call__(self, free: Mapping[int, int], /) -> int | None: ...


@dataclass(frozen=True, slots=True)
class PlacementPolicy:
    """Where calls go, and when they move."""

    choose: ChoosesNode
    moves: Moves


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """What a scaling policy sees.

    Args:
        loads: of the nodes that are ready and stay.
        now: nodes that stay, those that are being started among them.
        now_s: the time.
        waiting: callers without a place.
        recent: calls that have come in the last `RATE_WINDOW_S`.
    """

    loads: Sequence[NodeLoad]
    now: int
    now_s: float
    waiting: int
    recent: int


ScalingPolicy = Callable[[FleetView], int]


def most_free_first(free: Mapping[int, int]) -> int | None:
    """By the fleet's own placement."""
    places = NodePlaces()
    for number, count in free.items():
        places.report(f"{number:08}", free=count, asked_ns=0)
    kept = places.reserve(0)
    return int(kept.node) if kept is not None else None


def fewest_free_first(free: Mapping[int, int]) -> int | None:
    """The fullest that has a place, so that others become empty."""
    having = [(count, number) for number, count in free.items() if count > 0]
    return min(having)[1] if having else None


def by_free_places(scenario: FleetScenario, *, spare: int, down_delay_s: float) -> ScalingPolicy:
    """By the fleet's own rule."""
    decision = ScaleDecision(
        ScalingRule(least=1, most=scenario.most_nodes, spare=spare, down_delay_s=down_delay_s)
    )

    def target(view: FleetView) -> int:
        return decision.target(
            list(view.loads), now=view.now, now_s=view.now_s, waiting=view.waiting
        )

    return target


def by_request_rate(scenario: FleetScenario) -> ScalingPolicy:
    """As many as the calls that come now would need if that went on, by Little's law."""

    def target(view: FleetView) -> int:
        streams = view.recent / RATE_WINDOW_S * scenario.mean_length_s
        return max(1, min(scenario.most_nodes, math.ceil(streams / scenario.places)))

    return target


def fixed_for_the_peak(scenario: FleetScenario) -> ScalingPolicy:
    """Always as many as the peak needs, and three standard deviations of a Poisson number more."""
    most_streams = scenario.peak_streams + 3 * math.sqrt(scenario.peak_streams)
    nodes = min(scenario.most_nodes, math.ceil(most_streams / scenario.places))
    return lambda _: nodes


PLACEMENTS: Mapping[str, PlacementPolicy] = {
    "most free first, stays": PlacementPolicy(most_free_first, Moves.NEVER),
    "fewest free first, stays": PlacementPolicy(fewest_free_first, Moves.NEVER),
    "most free first, moves off a node that leaves": PlacementPolicy(
        most_free_first, Moves.LEAVING
    ),
    "most free first, moves to even out too": PlacementPolicy(most_free_first, Moves.EVENLY),
}
FLEETS_PLACEMENT = "most free first, moves off a node that leaves"
FLEETS_SCALING = "one spare, down after 600 s"

SCALINGS: Mapping[str, Callable[[FleetScenario], ScalingPolicy]] = {
    FLEETS_SCALING: lambda scenario: by_free_places(scenario, spare=1, down_delay_s=_SPARE_DELAY_S),
    "no spare, down at once": lambda scenario: by_free_places(scenario, spare=0, down_delay_s=0),
    "request rate": by_request_rate,
    "fixed for the peak": fixed_for_the_peak,
}
