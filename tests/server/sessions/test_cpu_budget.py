"""Whether the processor has room for another stream's codecs."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.sessions.cpu_budget import CpuBudget
from slipstream_server.sessions.cpu_meter import process_cpu_ns, usable_cores


def measured(
    budget: CpuBudget, *, own: float, engine: float = 0.0, sending: int, seconds: int = 200
) -> CpuBudget:
    """After so many seconds in which server and engine have used so many cores."""
    for second in range(seconds):
        budget.sample(
            second * NS_PER_S,
            own_ns=round(second * own * NS_PER_S),
            engine_ns=round(second * engine * NS_PER_S),
            sending=sending,
        )
    return budget


def test_streams_fit_up_to_the_cores_that_are_left() -> None:
    """two that take a quarter of a core each, beside an engine that takes one of two: three fit."""
    budget = measured(CpuBudget(cores=2, share=0.9), own=0.5, engine=1.0, sending=2)
    assert [budget.refusal(streams) is None for streams in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert (budget.refusal(3) or "").startswith(
        "the codecs of 4 streams would take 1.0 processor cores, 0.9 of 2 are theirs"
    )


def test_an_engine_that_takes_all_leaves_half() -> None:
    """it computes on the processor, with all that nobody else takes."""
    for engine, fits in ((0.0, 8), (1.5, 5), (2.0, 4), (4.0, 4)):
        budget = measured(CpuBudget(cores=4, share=1), own=0.5, engine=engine, sending=1)
        assert sum(budget.refusal(streams) is None for streams in range(64)) == fits


def test_the_first_is_admitted_and_what_is_not_known_refuses_nobody() -> None:
    """a server that has served nothing yet has measured nothing; and with a share of 0 it does not
    matter."""
    assert CpuBudget(cores=1, share=0.9).refusal(60) is None
    busy = measured(CpuBudget(cores=1, share=0.9), own=1.0, sending=1)
    assert busy.refusal(0) is None and busy.refusal(1) is not None
    assert measured(CpuBudget(cores=1, share=0), own=1.0, sending=1).refusal(9) is None


def test_what_comes_and_goes_is_no_streams_cost() -> None:
    """a second in which a call begins or ends says nothing of those that go on."""
    budget = measured(CpuBudget(cores=8, share=0.9), own=0.2, sending=1)
    known = budget.stream_cores
    own_ns = 40 * NS_PER_S
    for second in range(200, 220):
        own_ns += 2 * NS_PER_S
        budget.sample(second * NS_PER_S, own_ns=own_ns, engine_ns=0, sending=1, is_steady=False)
    assert budget.stream_cores == known


def test_a_costlier_stream_is_soon_known_and_slowly_forgotten() -> None:
    """four seconds change the estimate by more than half, a pause of a few changes nothing."""
    budget = measured(CpuBudget(cores=8, share=0.9), own=0.2, sending=1)
    for second in range(200, 204):
        own_ns = round((200 * 0.2 + (second - 199) * 1.0) * NS_PER_S)
        budget.sample(second * NS_PER_S, own_ns=own_ns, engine_ns=0, sending=1)
    risen = budget.stream_cores
    assert risen is not None and risen > 0.6
    budget.sample(204 * NS_PER_S, own_ns=own_ns, engine_ns=0, sending=0)
    assert budget.stream_cores == risen


@pytest.mark.parametrize(
    ("cores", "share", "reason"),
    [(0, 0.9, "cores is 0"), (2, 1.5, "share is 1.5"), (2, -1, "share is -1")],
)
def test_impossible_limits_are_refused(cores: float, share: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CpuBudget(cores=cores, share=share)


@given(
    st.lists(
        st.tuples(
            st.integers(-3 * NS_PER_S, 3 * NS_PER_S),
            st.integers(-NS_PER_S, 20 * NS_PER_S),
            st.integers(-NS_PER_S, 20 * NS_PER_S),
            st.integers(0, 5),
        )
    ),
    st.integers(0, 70),
)
def test_clocks_that_jump_make_no_impossible_cost(
    steps: list[tuple[int, int, int, int]], streams: int
) -> None:
    """nothing takes less than no core, or more than there are; one stream more never fits where
    one did not."""
    budget = CpuBudget(cores=4, share=0.9)
    now_ns = own_ns = engine_ns = 0
    for step_ns, own_step_ns, engine_step_ns, sending in steps:
        now_ns, own_ns = now_ns + step_ns, max(0, own_ns + own_step_ns)
        engine_ns = max(0, engine_ns + engine_step_ns)
        budget.sample(now_ns, own_ns=own_ns, engine_ns=engine_ns, sending=sending)
        assert budget.stream_cores is None or 0 <= budget.stream_cores <= 4
        assert 0 <= budget.engine_cores <= 4
        if budget.refusal(streams) is not None:
            assert budget.refusal(streams + 1) is not None


def test_this_process_is_measured() -> None:
    """as its own clock says, to a tick or two; one that is not there has used nothing."""
    assert abs(process_cpu_ns(os.getpid()) - time.process_time_ns()) < 0.2 * NS_PER_S
    assert process_cpu_ns(2**30) == 0
    assert 0 < usable_cores() <= (os.cpu_count() or 1)
