"""The line of callers who wait for a place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.sessions.waiting_line import WaitingCaller, WaitingLine


def caller(key: str, *, client: str = "", silence_ns: int = 10) -> WaitingCaller:
    return WaitingCaller(key=key, client=client, silence_ns=silence_ns)


def test_first_come_first_served() -> None:
    """whoever asks again keeps the place, and nobody is admitted before it."""
    line = WaitingLine(places=3, patience_ns=1000)
    assert [line.ask(caller(key), 0) for key in "abab"] == [1, 2, 1, 2]
    assert [line.is_next(key) for key in "abc"] == [True, False, False]
    line.admit("a")
    assert line.is_next("b") and line.ask(caller("b"), 1) == 1
    assert line.leavings["admitted"] == 1


def test_an_empty_line_lets_anyone_pass() -> None:
    """nobody is before a caller who is alone."""
    line = WaitingLine(places=1, patience_ns=1000)
    assert line.is_next("a") and line.is_next("")
    line.admit("a")
    assert line.leavings["admitted"] == 0, "it has not waited"


def test_who_falls_silent_has_left() -> None:
    """its place goes to the next; one that asks in time stays."""
    line = WaitingLine(places=3, patience_ns=1000)
    line.ask(caller("gone"), 0)
    line.ask(caller("there"), 0)
    line.ask(caller("there"), 9)
    line.refresh(10)
    assert len(line) == 2
    line.refresh(11)
    assert len(line) == 1 and line.is_next("there")
    assert line.leavings["silent"] == 1
    assert line.ask(caller("gone"), 12) == 2, "at the end"


def test_nobody_waits_for_ever() -> None:
    """after so long the caller has left, however often it asks."""
    line = WaitingLine(places=3, patience_ns=100)
    for now_ns in range(0, 101, 5):
        line.refresh(now_ns)
        assert line.ask(caller("a"), now_ns) == 1
    line.refresh(101)
    assert not line.is_known("a") and line.leavings["impatient"] == 1


def test_the_line_is_bounded_also_for_one_address() -> None:
    """half of it may be had from one; callers that are not told apart have all of it."""
    line = WaitingLine(places=4, patience_ns=1000)
    places = [line.ask(caller(f"a{n}", client="192.0.2.1"), 0) for n in range(4)]
    assert places == [1, 2, None, None]
    assert line.ask(caller("b", client="192.0.2.2"), 0) == 3
    assert line.ask(caller("c"), 0) == 4
    assert line.ask(caller("d"), 0) is None
    assert line.leavings["full"] == 3
    assert WaitingLine(places=0, patience_ns=1).ask(caller("a"), 0) is None
    with pytest.raises(ValueError, match="places is -1, it must be at least 0"):
        WaitingLine(places=-1, patience_ns=1)
    with pytest.raises(ValueError, match="patience_ns is 0, it must be at least 1"):
        WaitingLine(places=1, patience_ns=0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.sampled_from(["ask", "admit", "refresh"]),
            st.integers(-50, 120),
        ),
        max_size=200,
    )
)
def test_whoever_comes_and_goes_the_order_stays(events: list[tuple[str, str, int]]) -> None:
    """with clocks that jump both ways: the line is never longer than it may be, two who wait never
    change places, and everyone who joined waits or has been counted out."""
    line = WaitingLine(places=4, patience_ns=300)
    now_ns, joined = 0, 0
    order: list[str] = []
    for key, what, step_ns in events:
        now_ns += step_ns
        if what == "ask":
            is_new = not line.is_known(key)
            place = line.ask(caller(key, silence_ns=60), now_ns)
            joined += is_new and place is not None
            assert (place is None) == (is_new and len(order) == 4)
        elif what == "admit":
            line.admit(key)
        else:
            line.refresh(now_ns)
        order = [one for one in order if line.is_known(one)]
        order += [key] if line.is_known(key) and key not in order else []
        assert len(line) == len(order) <= 4
        assert [one for one in order if line.is_next(one)] == order[:1]
    left = line.leavings
    assert joined == len(line) + left["admitted"] + left["silent"] + left["impatient"]
