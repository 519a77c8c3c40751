"""turnover.py: when to ask again for a place."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.turnover import TurnoverEstimator


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def test_before_anybody_has_left_there_is_a_guess() -> None:
    """ten seconds, and longer the longer nobody leaves."""
    places = TurnoverEstimator(since_ns=s(100))
    assert places.wait_s(s(100)) == 10
    assert places.wait_s(s(120)) == 30
    assert places.wait_s(s(1000)) == 60


def test_the_wait_follows_how_often_viewers_leave() -> None:
    """about the mean distance of the last eight; the distant past is forgotten."""
    places = TurnoverEstimator(since_ns=0)
    for number in range(1, 20):
        places.left(s(1000 * number))
    assert places.wait_s(s(19_000)) == 60
    for number in range(1, 20):
        places.left(s(19_000 + 4 * number))
    assert 4 <= places.wait_s(s(19_076)) <= 5
    assert places.wait_s(s(19_076 + 60)) > 10


@given(st.lists(st.floats(0, 1e6), max_size=30), st.floats(0, 1e6))
def test_it_is_never_absurd(gaps_s: list[float], more_s: float) -> None:
    """between a second and a minute."""
    now_ns = 0
    places = TurnoverEstimator(since_ns=0)
    for gap_s in gaps_s:
        now_ns += s(gap_s)
        places.left(now_ns)
    assert 1 <= places.wait_s(now_ns + s(more_s)) <= 60
