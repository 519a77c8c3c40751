"""The leaky bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.send.leaky_bucket import LeakyBucket


def test_it_drains_at_the_rate_down_to_nothing() -> None:
    """from the first call on; what is not there cannot drain."""
    bucket = LeakyBucket()
    bucket.add(100)
    bucket.drain(30, 5 * NS_PER_S)
    assert bucket.level == 100
    bucket.drain(30, 7 * NS_PER_S)
    assert bucket.level == 40
    bucket.drain(30, 60 * NS_PER_S)
    assert bucket.level == 0


def test_a_clock_that_steps_back_drains_nothing() -> None:
    """and fills nothing."""
    bucket = LeakyBucket()
    bucket.add(10)
    bucket.drain(1, NS_PER_S)
    bucket.drain(1, 0)
    assert bucket.level == 10


@given(
    level=st.floats(0, 1e9),
    rate=st.floats(1, 1e8),
    steps_ns=st.lists(st.integers(0, NS_PER_S), min_size=1, max_size=50),
)
def test_many_short_drains_come_to_one_long_one(
    level: float, rate: float, steps_ns: list[int]
) -> None:
    """up to rounding."""
    pieces, whole = LeakyBucket(), LeakyBucket()
    for bucket in (pieces, whole):
        bucket.add(level)
        bucket.drain(rate, 0)
    now_ns = 0
    for step_ns in steps_ns:
        now_ns += step_ns
        pieces.drain(rate, now_ns)
    whole.drain(rate, now_ns)
    assert pieces.level == pytest.approx(whole.level, rel=1e-6, abs=1e-3)
