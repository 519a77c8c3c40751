"""Error budgets: what of the allowed errors is left, and how fast it is used."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.observability.error_budget import (
    ErrorBudget,
    ErrorBudgets,
    ServiceLevel,
    Tally,
)

MINUTE_NS = 60 * NS_PER_S


def test_nothing_counted_is_nothing_claimed() -> None:
    """no data is neither a full budget nor an empty one."""
    report = ErrorBudget(0.99).report(5)
    assert (report.burn_short, report.burn_long, report.left) == (None, None, None)
    assert report.ever == Tally()


def test_at_the_objective_the_budget_just_lasts() -> None:
    """one bad event of a hundred at 99 % burns it at 1; two at 2, and nothing is left."""
    for bad, burn in ((0, 0), (1, 1), (2, 2), (100, 100)):
        budget = ErrorBudget(0.99)
        budget.add(Tally(good=100 - bad, bad=bad), 0)
        report = budget.report(MINUTE_NS)
        assert report.burn_short == report.burn_long == pytest.approx(burn)
        assert report.left == pytest.approx(1 - burn)


def test_windows_forget_and_totals_do_not() -> None:
    """after five minutes the short one is empty, after an hour the long one."""
    budget = ErrorBudget(0.9)
    budget.add(Tally(good=1, bad=1), 0)
    budget.add(Tally(good=8), 10 * MINUTE_NS)
    report = budget.report(10 * MINUTE_NS)
    assert report.burn_short == 0
    assert report.burn_long == pytest.approx(1.0)
    assert budget.report(16 * MINUTE_NS).burn_short is None
    assert budget.report(61 * MINUTE_NS).burn_long == 0
    gone = budget.report(200 * MINUTE_NS)
    assert gone.left is None and gone.ever == Tally(good=9, bad=1)


def test_where_nothing_is_allowed_one_error_is_beyond_measure() -> None:
    """at an objective of 1 the burn rate is infinite, or 0; at 0 nothing burns faster than 1."""
    budget = ErrorBudget(1)
    budget.add(Tally(good=5), 0)
    assert budget.report(0).left == 1
    budget.add(Tally(bad=1), 0)
    assert budget.report(0).burn_long == math.inf
    lax = ErrorBudget(0)
    lax.add(Tally(bad=5), 0)
    assert lax.report(0).burn_long == 1


@pytest.mark.parametrize("objective", [-0.1, 1.5, math.nan])
def test_an_objective_is_a_share(objective: float) -> None:
    with pytest.raises(ValueError, match=f"objective is {objective}, it must be between 0 and 1"):
        ErrorBudget(objective)


@pytest.mark.parametrize("tally", [Tally(good=-1), Tally(bad=math.nan), Tally(good=math.inf)])
def test_impossible_counts_are_refused(tally: Tally) -> None:
    with pytest.raises(ValueError, match="counts must be at least 0"):
        ErrorBudget(0.9).add(tally, 0)


def test_levels_have_budgets_of_their_own() -> None:
    """an event of one changes no other."""
    budgets = ErrorBudgets(dict.fromkeys(ServiceLevel, 0.5))
    budgets.add({ServiceLevel.AGE: Tally(bad=1)}, 0)
    report = budgets.report(0)
    assert report[ServiceLevel.AGE].left == -1
    assert {report[level].left for level in ServiceLevel if level is not ServiceLevel.AGE} == {None}


events = st.lists(
    st.tuples(
        st.integers(-2 * 3600 * NS_PER_S, 2 * 3600 * NS_PER_S),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    max_size=100,
)


@given(events)
def test_a_jumping_clock_loses_no_event_and_invents_none(
    events: list[tuple[int, int, int]],
) -> None:
    """in any order of times the totals are right, and the windows hold no more than them."""
    budget = ErrorBudget(0.9)
    now_ns, good, bad = 0, 0, 0
    for step_ns, more_good, more_bad in events:
        now_ns += step_ns
        budget.add(Tally(good=more_good, bad=more_bad), now_ns)
        good, bad = good + more_good, bad + more_bad
        report = budget.report(now_ns)
        assert report.ever == Tally(good=good, bad=bad)
        for burn in (report.burn_short, report.burn_long):
            assert burn is None or 0 <= burn <= 10.0001


@given(st.lists(st.tuples(st.integers(0, 120 * NS_PER_S), st.integers(0, 9), st.integers(0, 9))))
def test_in_pieces_is_all_at_once(pieces: list[tuple[int, int, int]]) -> None:
    """events of a few seconds may be counted one by one, or together."""
    one_by_one, together = ErrorBudget(0.8), ErrorBudget(0.8)
    now_ns = 0
    for step_ns, good, bad in pieces:
        now_ns += step_ns
        for _ in range(good):
            one_by_one.add(Tally(good=1), now_ns)
        for _ in range(bad):
            one_by_one.add(Tally(bad=1), now_ns)
        together.add(Tally(good=good, bad=bad), now_ns)
    assert one_by_one.report(now_ns) == together.report(now_ns)
