"""Who publishes a stream and how long it is kept, under a scripted clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.streams.publisher_slot import ResumeWindow

HOLD_NS = 30 * NS_PER_S

# what happens, to which of three calls, and how long after what was before
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("attach", "detach")),
        st.sampled_from("abc"),
        st.integers(min_value=0, max_value=2 * HOLD_NS),
    ),
    max_size=30,
)


@given(EVENTS)
def test_the_newest_publishes_until_it_detaches(
    events: list[tuple[str, str, int]],
) -> None:
    """the last one attached publishes until it detaches; what older ones do changes nothing."""
    resume_window: ResumeWindow[str] = ResumeWindow(hold_ns=HOLD_NS, now_ns=0)
    newest: str | None = None
    now_ns = since_ns = 0
    for event, call, step_ns in events:
        now_ns += step_ns
        if event == "attach":
            assert resume_window.attach(call) == (newest if newest != call else None)
            newest = call
        else:
            assert resume_window.detach(call, now_ns) is (call == newest)
            if call == newest:
                newest, since_ns = None, now_ns
        assert resume_window.publisher == newest
        left_s = resume_window.remaining_s(now_ns)
        if newest is not None:
            assert left_s is None
            assert resume_window.held_s(now_ns) == 0
        else:
            assert left_s == max(0, since_ns + HOLD_NS - now_ns) / NS_PER_S
            assert resume_window.held_s(now_ns) == (now_ns - since_ns) / NS_PER_S


def test_it_is_over_exactly_when_its_time_is() -> None:
    """a nanosecond before it is not, and taking it again winds the clock up anew."""
    resume_window: ResumeWindow[str] = ResumeWindow(hold_ns=HOLD_NS, now_ns=0)
    resume_window.attach("a")
    resume_window.detach("a", 5)
    assert resume_window.remaining_s(5 + HOLD_NS - 1) == 1 / NS_PER_S
    assert resume_window.remaining_s(5 + HOLD_NS) == 0
    resume_window.attach("b")
    assert resume_window.remaining_s(10 * HOLD_NS) is None
    resume_window.detach("b", 10 * HOLD_NS)
    assert resume_window.remaining_s(10 * HOLD_NS) == HOLD_NS / NS_PER_S


def test_a_hold_before_now_is_refused() -> None:
    with pytest.raises(ValueError, match="hold_ns is -1, it must be at least 0"):
        ResumeWindow(hold_ns=-1, now_ns=0)
