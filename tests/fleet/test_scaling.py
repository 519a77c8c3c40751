"""How many nodes there should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_fleet.scaling import NodeLoad, ScaleDecision, ScalingRule

RULE = ScalingRule(least=1, most=10, spare=1, down_delay_s=600)
loads = st.lists(
    st.builds(NodeLoad, streams=st.integers(0, 8), free=st.integers(0, 8)), max_size=10
)


def fleet(*, nodes: int, streams: int, each: int = 4) -> list[NodeLoad]:
    """Nodes of so many places, filled one after the other."""
    taken = [min(each, max(0, streams - each * index)) for index in range(nodes)]
    return [NodeLoad(streams=some, free=each - some) for some in taken]


@pytest.mark.parametrize(
    ("streams", "waiting", "wanted"), [(0, 0, 1), (1, 0, 2), (4, 0, 2), (5, 0, 3), (4, 3, 3)]
)
def test_there_is_a_spare_beside_what_is_needed(streams: int, waiting: int, wanted: int) -> None:
    """for those who wait too."""
    assert RULE.wanted(fleet(nodes=2, streams=streams), waiting=waiting) == wanted


@given(loads=loads, waiting=st.integers(0, 100))
def test_the_limits_hold(loads: list[NodeLoad], waiting: int) -> None:
    """whatever is reported."""
    assert RULE.least <= RULE.wanted(loads, waiting=waiting) <= RULE.most


def test_a_fleet_that_is_full_grows_at_once() -> None:
    decision = ScaleDecision(RULE)
    assert decision.target(fleet(nodes=2, streams=8), now=2, now_s=0) == 3


def test_a_fleet_shrinks_only_after_the_delay_without_a_break() -> None:
    """and only to what was enough all that time."""
    decision = ScaleDecision(RULE)
    quiet, busy = fleet(nodes=4, streams=2), fleet(nodes=4, streams=12)
    assert decision.target(quiet, now=4, now_s=0) == 4
    assert decision.target(busy, now=4, now_s=500) == 4
    assert decision.target(quiet, now=4, now_s=700) == 4
    assert decision.target(fleet(nodes=4, streams=6), now=4, now_s=900) == 4
    assert decision.target(quiet, now=4, now_s=1299) == 4
    assert decision.target(quiet, now=4, now_s=1300) == 3


def test_a_fleet_of_which_no_node_is_ready_stays() -> None:
    """however long that lasts: nothing is known of what would be enough."""
    decision = ScaleDecision(RULE)
    assert decision.target([], now=0, now_s=0) == RULE.least
    away = [NodeLoad(streams=0, free=0)] * 4
    assert [decision.target(away, now=4, now_s=at_s) for at_s in (0, 700, 9000)] == [4, 4, 4]


def test_a_full_fleet_without_a_spare_grows_for_those_who_wait() -> None:
    decision = ScaleDecision(ScalingRule(least=1, most=10, spare=0))
    assert decision.target(fleet(nodes=2, streams=8), now=2, now_s=0) == 2
    assert decision.target(fleet(nodes=2, streams=8), now=2, now_s=1, waiting=1) == 3


@given(
    steps=st.lists(st.tuples(loads, st.integers(0, 5)), max_size=30),
    began=st.integers(1, 10),
)
def test_no_node_is_taken_away_within_the_delay(
    steps: list[tuple[list[NodeLoad], int]], began: int
) -> None:
    """of the moment when fewer began to be enough."""
    decision, now = ScaleDecision(RULE), began
    for second, (found, waiting) in enumerate(steps):
        target = decision.target(found, now=now, now_s=second, waiting=waiting)
        assert target >= now
        now = target


@pytest.mark.parametrize(
    ("least", "most", "spare", "text"),
    [
        (0, 1, 1, "least is 0 and most is 1, 1 <= least <= most must hold"),
        (3, 2, 1, "least is 3 and most is 2, 1 <= least <= most must hold"),
        (1, 2, -1, "spare is -1 and down_delay_s is 600.0, neither may be below 0"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(least: int, most: int, spare: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ScalingRule(least=least, most=most, spare=spare)
