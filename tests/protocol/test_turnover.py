"""slipstream_protocol/turnover.py: when to try again for a lane."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.turnover import TurnoverEstimator


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_the_wait_is_ten_seconds_at_first() -> None:
    """and grows while nobody leaves."""
    estimator = TurnoverEstimator(since_ns=s(100))
    assert estimator.wait_s(s(100)) == 10
    assert estimator.wait_s(s(120)) == 30
    assert estimator.wait_s(s(1000)) == 60


def test_the_wait_follows_how_often_viewers_leave() -> None:
    """about the mean distance of the last eight; the distant past is forgotten."""
    estimator = TurnoverEstimator(since_ns=0)
    for number in range(1, 20):
        estimator.on_departure(s(1000 * number))
    assert estimator.wait_s(s(19_000)) == 60
    for number in range(1, 20):
        estimator.on_departure(s(19_000 + 4 * number))
    assert 4 <= estimator.wait_s(s(19_076)) <= 5
    assert estimator.wait_s(s(19_076 + 60)) > 10


def test_the_ninth_departure_ago_is_the_last_that_counts() -> None:
    """eight distances of four seconds, and the assumed one."""
    estimator = TurnoverEstimator(since_ns=0)
    for number in range(20):
        estimator.on_departure(s(4 * number))
    assert estimator.wait_s(s(4 * 19)) == (8 * 4 + 10) / 9


@given(st.lists(st.floats(0, 1e6), max_size=30), st.floats(0, 1e6))
def test_the_wait_has_bounds(gaps_s: list[float], more_s: float) -> None:
    """between a second and a minute."""
    now_ns = 0
    estimator = TurnoverEstimator(since_ns=0)
    for gap_s in gaps_s:
        now_ns += s(gap_s)
        estimator.on_departure(now_ns)
    assert 1 <= estimator.wait_s(now_ns + s(more_s)) <= 60
