"""Whether the server's line has room for another picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.sessions.uplink_budget import UplinkBudget

bitrates = st.lists(st.integers(100_000, 50_000_000), max_size=8)


def test_calls_fit_up_to_the_line() -> None:
    """at what those that are known take on average: two of 3 and 1 Mbit/s leave room for two."""
    budget = UplinkBudget(limit_mbps=8.0, start_bps=2_500_000)
    known = [3_000_000, 1_000_000]
    assert [budget.refusal(calls, known) is None for calls in (2, 3, 4)] == [True, True, False]
    assert (budget.refusal(4, known) or "").startswith(
        "the pictures of 5 calls would take 10.0 Mbit/s of this server's line, 8 are theirs (a "
        "call takes 2.0); wait until a viewer leaves, or start the server with a larger "
        "--max-send-mbps"
    )


def test_what_is_not_known_weighs_what_a_call_begins_with() -> None:
    """a hundred that come at once are not all admitted because none has sent anything."""
    budget = UplinkBudget(limit_mbps=8.0, start_bps=2_500_000)
    assert [budget.refusal(calls, []) is None for calls in (0, 1, 2, 3)] == [True] * 3 + [False]


@given(st.integers(0, 100), bitrates)
def test_without_a_limit_everybody_is_admitted(calls: int, known: list[int]) -> None:
    assert UplinkBudget(limit_mbps=0.0, start_bps=1).refusal(calls, known) is None


@given(st.integers(0, 100), bitrates, st.floats(0.01, 1000))
def test_one_more_never_fits_where_one_did_not(
    calls: int, known: list[int], limit_mbps: float
) -> None:
    """and the first always does."""
    budget = UplinkBudget(limit_mbps=limit_mbps, start_bps=2_500_000)
    assert budget.refusal(0, known) is None
    if budget.refusal(calls, known) is not None:
        assert budget.refusal(calls + 1, known) is not None


@pytest.mark.parametrize(
    ("limit_mbps", "start_bps", "reason"), [(-1.0, 1, "limit_mbps is -1"), (1.0, 0, "start_bps is")]
)
def test_impossible_limits_are_refused(limit_mbps: float, start_bps: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        UplinkBudget(limit_mbps=limit_mbps, start_bps=start_bps)
