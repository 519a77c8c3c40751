"""What came of a simulated fleet, and the table of it. Pure."""

from collections.abc import Sequence

import msgspec

from slipstream_fleet.simulation.policies import (
    FLEETS_PLACEMENT,
    FLEETS_SCALING,
    PLACEMENTS,
    SCALINGS,
    Moves,
)
from slipstream_fleet.simulation.scenario import FleetScenario


class FleetRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Args:
        placement, scaling: names of the policies.
        calls: that came.
        node_hours_a_day: paid for.
        stream_hours_a_day: served.
        wait_p99_s: for a place, of all callers; who gave up has waited for as long as that took.
        gave_up: callers who got no place in time.
        lost: calls that lost their node, and found no other in time.
        failed_nodes: nodes that failed.
        moved: how often a call was moved.
        chunk_mean_ms, chunk_p99_ms: how long a chunk took, by the streams on its node; the longest
            is that of a full node, since a node takes no more than it has places for.
    """

    placement: str
    scaling: str
    calls: int
    node_hours_a_day: float
    stream_hours_a_day: float
    wait_p99_s: float
    gave_up: int
    lost: int
    failed_nodes: int
    moved: int
    chunk_mean_ms: float
    chunk_p99_ms: float


class FleetComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The same days under several policies."""

    scenario: FleetScenario
    runs: tuple[FleetRun, ...]


def compared_policies() -> list[tuple[str, str]]:
    """Placement and scaling of each run of the comparison: one of both is the fleet's own."""
    placements = [(name, FLEETS_SCALING) for name in PLACEMENTS]
    return placements + [(FLEETS_PLACEMENT, name) for name in SCALINGS if name != FLEETS_SCALING]


def percentile(weighed: Sequence[tuple[float, float]], share: float) -> float:
    """The least value that so much of the weight does not exceed; 0 where there is none.

    Args:
        weighed: values, each with its weight.
    """
    total, reached = sum(weight for _, weight in weighed), 0.0
    for value, weight in sorted(weighed):
        reached += weight
        if reached >= share * total:
            return value
    return 0.0


def fleet_table(comparison: FleetComparison) -> str:
    """Markdown: what was simulated, a line for each run, and what moving calls has changed."""
    scenario, runs = comparison.scenario, comparison.runs
    lines = [
        _described(scenario),
        "",
        "| scaling | placement | node hours a day | wait p99 s | gave up | lost | moved "
        "| chunk ms mean | p99 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run.scaling} | {run.placement} | {run.node_hours_a_day:.0f} | {run.wait_p99_s:.0f} | "
        f"{run.gave_up} of {run.calls} | {run.lost} | {run.moved} | {run.chunk_mean_ms:.0f} | "
        f"{run.chunk_p99_ms:.0f} |"
        for run in runs
    ]
    return "\n".join([*lines, "", moving_pays(runs)])


def _described(scenario: FleetScenario) -> str:
    return (
        f"{scenario.days} days, seed {scenario.seed}: {scenario.peak_streams:g} streams at once in "
        f"the evening, {scenario.quiet_share:.0%} of that in the morning; calls of "
        f"{scenario.median_s:g} s (median; {scenario.mean_length_s:.0f} s on the average); nodes "
        f"of {scenario.places} places that start in {scenario.start_s:g} s and fail every "
        f"{scenario.failure_h:g} h; callers wait {scenario.patience_s:g} s; a chunk takes "
        f"{scenario.chunk_ms:g} ms and {scenario.chunk_more_ms:g} ms more for each further stream "
        "of its node."
    )


def moving_pays(runs: Sequence[FleetRun]) -> str:
    """What it changes that calls are moved to even out, against each placement where they stay."""
    own = [run for run in runs if run.scaling == FLEETS_SCALING]
    moving = [run for run in own if PLACEMENTS[run.placement].moves is Moves.EVENLY]
    staying = [run for run in own if PLACEMENTS[run.placement].moves is Moves.NEVER]
    sentences = [
        f"Moving to even out, against *{before.placement}*: node hours "
        f"{_change(before.node_hours_a_day, after.node_hours_a_day)}, chunk mean "
        f"{_change(before.chunk_mean_ms, after.chunk_mean_ms)}, p99 "
        f"{_change(before.chunk_p99_ms, after.chunk_p99_ms)}."
        for after in moving
        for before in staying
    ]
    return " ".join(sentences)


def _change(before: float, after: float) -> str:
    return f"{after / before - 1:+.0%}" if before else "from nothing"
