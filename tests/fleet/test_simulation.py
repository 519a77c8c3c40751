"""A fleet's simulated days: what holds whatever comes, and which rule costs what."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_fleet.simulation.fleet_run import (
    FleetComparison,
    compared_policies,
    fleet_table,
    percentile,
)
from slipstream_fleet.simulation.policies import (
    FLEETS_PLACEMENT,
    FLEETS_SCALING,
    PLACEMENTS,
    SCALINGS,
    Moves,
    fewest_free_first,
    most_free_first,
)
from slipstream_fleet.simulation.scenario import FleetScenario, draw_calls
from slipstream_fleet.simulation.simulator import simulate_fleet

EVENLY = "most free first, moves to even out too"
DAY = FleetScenario(days=1, look_s=60)  # a test has no time for more
NO_FAILURE_H = 1e6
H_S = 3600
scenarios = st.builds(
    FleetScenario,
    days=st.just(1),
    look_s=st.just(300.0),
    peak_streams=st.floats(1, 20),
    places=st.integers(1, 8),
    start_s=st.sampled_from([0.0, 240.0, 3600.0]),
    failure_h=st.sampled_from([0.5, 20.0, NO_FAILURE_H]),
    patience_s=st.sampled_from([0.0, 120.0]),
    most_nodes=st.integers(1, 20),
    seed=st.integers(0, 1000),
)


@given(
    scenario=scenarios,
    placement=st.sampled_from([*PLACEMENTS]),
    scaling=st.sampled_from([*SCALINGS]),
)
@settings(max_examples=25, deadline=None)
def test_no_run_serves_more_than_it_has(
    scenario: FleetScenario, placement: str, scaling: str
) -> None:
    """nor more than is wanted; nobody waits for longer than they would, and no call is counted
    twice."""
    run = simulate_fleet(scenario, placement=placement, scaling=scaling)
    wanted_s = sum(min(call.length_s, scenario.end_s - call.at_s) for call in draw_calls(scenario))
    assert run.calls == len(draw_calls(scenario))
    assert run.stream_hours_a_day <= run.node_hours_a_day * scenario.places + 1e-6
    assert run.stream_hours_a_day <= wanted_s / H_S + 1e-6
    assert 0 <= run.wait_p99_s <= scenario.patience_s
    assert run.gave_up + run.lost <= run.calls
    if run.stream_hours_a_day:
        longest_ms = scenario.chunk_with(scenario.places)
        assert scenario.chunk_ms <= run.chunk_p99_ms <= longest_ms
        assert scenario.chunk_ms - 1e-6 <= run.chunk_mean_ms <= longest_ms + 1e-6
    if scenario.failure_h == NO_FAILURE_H and PLACEMENTS[placement].moves is Moves.NEVER:
        assert (run.lost, run.failed_nodes) == (0, 0)
    if PLACEMENTS[placement].moves is Moves.NEVER:
        assert run.moved == 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_with_room_for_all_everything_wanted_is_served(placement: str) -> None:
    """each call for just as long as it is, wherever it is placed and moved to."""
    scenario = replace(DAY, places=64, failure_h=NO_FAILURE_H)
    run = simulate_fleet(scenario, placement=placement, scaling="fixed for the peak")
    wanted_s = sum(min(call.length_s, scenario.end_s - call.at_s) for call in draw_calls(scenario))
    assert (run.gave_up, run.lost, run.wait_p99_s) == (0, 0, 0)
    assert math.isclose(run.stream_hours_a_day, wanted_s / H_S, rel_tol=1e-9)


def test_a_run_is_the_same_for_the_same_seed() -> None:
    """and another for another."""
    one, same, other = (
        simulate_fleet(replace(DAY, seed=seed), placement=EVENLY, scaling=FLEETS_SCALING)
        for seed in (3, 3, 4)
    )
    assert one == same != other


def test_calls_that_lose_their_node_come_back() -> None:
    """to the others, as far as these have room."""
    scenario = replace(DAY, failure_h=12)
    run = simulate_fleet(scenario, placement=FLEETS_PLACEMENT, scaling="fixed for the peak")
    assert run.failed_nodes > 5
    assert run.lost < run.failed_nodes


def test_a_spare_costs_hours_and_saves_waiting() -> None:
    """against a fleet that has none and gives nodes back at once."""
    spare, none = (
        simulate_fleet(DAY, placement=FLEETS_PLACEMENT, scaling=scaling)
        for scaling in (FLEETS_SCALING, "no spare, down at once")
    )
    assert spare.node_hours_a_day > none.node_hours_a_day
    assert spare.gave_up < none.gave_up


def test_moving_to_even_out_leaves_no_node_much_fuller() -> None:
    """so that of as many nodes none is full while others are empty, and chunks are shorter."""
    moving, staying = (
        simulate_fleet(DAY, placement=placement, scaling="fixed for the peak")
        for placement in (EVENLY, "fewest free first, stays")
    )
    assert moving.moved > 0
    assert moving.chunk_mean_ms < 0.9 * staying.chunk_mean_ms


def test_moving_off_a_node_that_leaves_costs_fewer_hours() -> None:
    """than waiting until its last call has ended."""
    moving, staying = (
        simulate_fleet(DAY, placement=placement, scaling=FLEETS_SCALING)
        for placement in (FLEETS_PLACEMENT, "most free first, stays")
    )
    assert moving.node_hours_a_day < 0.95 * staying.node_hours_a_day


@given(st.dictionaries(st.integers(1, 50), st.integers(0, 9), max_size=12))
def test_a_call_goes_to_a_node_with_a_place(free: dict[int, int]) -> None:
    """the one with most, or the one with fewest; to none where there is none."""
    with_places = [count for count in free.values() if count]
    fullest, emptiest = fewest_free_first(free), most_free_first(free)
    assert (None if fullest is None else free[fullest]) == min(with_places, default=None)
    assert (None if emptiest is None else free[emptiest]) == max(with_places, default=None)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_calls_come_as_the_day_says(seed: int) -> None:
    """in order, within the days, and about as many as the rate adds up to."""
    scenario = replace(DAY, seed=seed)
    calls = draw_calls(scenario)
    hours = range(0, round(scenario.end_s), H_S)
    expected = sum(scenario.rate(at_s + H_S / 2) * H_S for at_s in hours)
    assert abs(len(calls) - expected) < 5 * math.sqrt(expected)
    assert [call.at_s for call in calls] == sorted(call.at_s for call in calls)
    assert all(0 < call.at_s < scenario.end_s and call.length_s > 0 for call in calls)


def test_the_evening_is_the_peak() -> None:
    peak, quiet = DAY.rate(20 * H_S), DAY.rate(8 * H_S)
    assert math.isclose(peak * DAY.mean_length_s, DAY.peak_streams)
    assert math.isclose(quiet / peak, DAY.quiet_share)


@pytest.mark.parametrize(
    ("weighed", "share", "value"),
    [
        ([], 0.99, 0),
        ([(3, 1)], 0.99, 3),
        ([(2, 1), (1, 99)], 0.99, 1),
        ([(2, 2), (1, 98)], 0.99, 2),
        ([(1, 1), (2, 1)], 0.5, 1),
    ],
)
def test_a_percentile_counts_weight(
    weighed: list[tuple[float, float]], share: float, value: float
) -> None:
    assert percentile(weighed, share) == value


def test_the_table_has_a_line_for_each_policy() -> None:
    """one of placement and scaling is the fleet's own in each; below stands what moving changes."""
    scenario = replace(DAY, peak_streams=5)
    runs = tuple(
        simulate_fleet(scenario, placement=placement, scaling=scaling)
        for placement, scaling in compared_policies()
    )
    assert {run.placement for run in runs} == set(PLACEMENTS)
    assert {run.scaling for run in runs} == set(SCALINGS)
    text = fleet_table(FleetComparison(scenario=scenario, runs=runs))
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == len(runs) + 1
    assert "Moving to even out, against *fewest free first, stays*: node hours " in text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("days", 0, "days is 0, it must be from 1 to 366"),
        ("peak_streams", math.nan, "peak_streams is nan, it must be from 0.1 to 10000"),
        ("failure_h", 0.0, r"failure_h is 0\.0, it must be from 0\.1 to 1e\+06"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(name: str, value: float, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(DAY, **{name: value})  # type: ignore[arg-type]  # any of its fields
