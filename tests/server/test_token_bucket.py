"""Credit that grows with time and is spent by what comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.token_bucket import TokenBucket


def test_a_burst_then_the_rate() -> None:
    """three at once, then one a half second."""
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(1, 0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_s(1, 0) == 0.5
    assert not bucket.take(1, NS_PER_S // 2 - 1)
    assert bucket.take(1, NS_PER_S // 2 + 1)
    assert not bucket.is_full(NS_PER_S)
    assert bucket.is_full(3 * NS_PER_S)


def test_what_costs_more_than_it_holds_is_never_let_in() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=10)
    assert not bucket.take(11, 0)
    assert bucket.take(10, 0)
    assert bucket.wait_s(11, 0) == 10


@given(
    rate=st.floats(0.1, 1000),
    burst=st.floats(1, 1000),
    requests=st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 10**9)), max_size=60),
)
def test_no_more_passes_than_was_earned(
    rate: float, burst: float, requests: list[tuple[float, int]]
) -> None:
    """in any stretch from the start, what passed is at most the burst and the rate's share."""
    bucket = TokenBucket(rate_per_s=rate, burst=burst)
    now_ns, passed = 0, 0.0
    for cost, pause_ns in requests:
        now_ns += pause_ns
        passed += cost if bucket.take(cost, now_ns) else 0
        assert passed <= burst + rate * now_ns / NS_PER_S + 1e-6


def test_a_clock_that_steps_back_earns_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1)
    assert bucket.take(1, 10 * NS_PER_S)
    assert not bucket.take(1, 0)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_bucket_that_holds_nothing_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="both must be above 0"):
        TokenBucket(rate_per_s=rate, burst=burst)
