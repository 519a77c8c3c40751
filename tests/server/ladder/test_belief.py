"""When a run of signs is believed."""

from slipstream_protocol.clock import NS_PER_S
from slipstream_server.ladder.belief import Belief


def seen(*times_s: float) -> Belief:
    belief = Belief(count=3, time_ns=NS_PER_S)
    for at_s in times_s:
        belief.see(round(at_s * NS_PER_S))
    return belief


def test_it_takes_a_number_and_a_time() -> None:
    assert not seen().is_held
    assert not seen(0, 2).is_held, "two are not three"
    assert not seen(0, 0.4, 0.8).is_held, "all within a second"
    assert seen(0, 0.4, 1.0).is_held
    assert seen(0, 0.1, 0.2, 0.3, 1.1).is_held


def test_a_sign_of_the_contrary_ends_it() -> None:
    belief = seen(0, 0.4, 1.0)
    belief.forget()
    assert not belief.is_held
    belief.see(2 * NS_PER_S)
    assert not belief.is_held


def test_old_signs_are_forgotten() -> None:
    """and so are all of them when the clock goes back."""
    assert not seen(0, 0.4, 9.0).is_held
    assert not seen(100, 100.5, 1.0).is_held
    assert seen(100, 100.5, 1.0, 1.5, 2.0).is_held


def test_holding_back_keeps_the_newest_sign_alone() -> None:
    belief = seen(0, 0.4, 1.0)
    belief.hold_back()
    assert not belief.is_held
    assert belief.has_signs(NS_PER_S)
    assert not seen().has_signs(0)
    for at_s in (1.5, 2.0):
        belief.see(round(at_s * NS_PER_S))
    assert belief.is_held
    empty = seen()
    empty.hold_back()
    assert not empty.has_signs(0)


def test_signs_are_of_late_or_count_no_more() -> None:
    belief = seen(1)
    assert belief.has_signs(2 * NS_PER_S)
    assert not belief.has_signs(9 * NS_PER_S)
    assert not belief.has_signs(0)
