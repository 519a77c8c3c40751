"""Streams that share a device: who is held for the others, and who comes back."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.ladder.device_share import DeviceShare, Share
from slipstream_server.ladder.promise import Others

CALM = Share(
    load=0.4,
    need=0.3,
    least_need=0.2,
    is_in_trouble=False,
    is_probing=False,
    is_stuck=False,
    can_fall=True,
    may_be_held=True,
)
STUCK = replace(CALM, load=0.5, is_in_trouble=True, is_stuck=True, can_fall=False)


def s(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def device(*streams: str) -> DeviceShare:
    share = DeviceShare()
    for stream in streams:
        share.join(stream)
    return share


def report(share: DeviceShare, now_s: float, **shares: Share) -> None:
    for stream, one in shares.items():
        share.report(stream, one, s(now_s))


def full_device(now_s: float, *, newest: Share = STUCK) -> DeviceShare:
    """Two streams that report each second until `now_s`, the older one stuck."""
    share = device("old", "new")
    for second in range(int(now_s) + 1):
        report(share, second, old=STUCK, new=newest)
    return share


def test_a_stream_sees_the_others_and_not_itself() -> None:
    share = device("a", "b", "c")
    report(share, 0, a=CALM, b=replace(CALM, is_probing=True), c=STUCK)
    assert share.others("c", s(1)) == Others(load=0.8, need=0.6, are_probing=True)
    seen = share.others("a", s(1))
    assert (seen.are_in_trouble, seen.heaviest) == (True, 0), "what cannot go down is waited for"
    share.report("c", replace(STUCK, can_fall=True), s(1))
    assert share.others("a", s(1)).heaviest == 0.5


def test_a_stream_that_is_silent_takes_nothing() -> None:
    """as while it is paused; nor does one that has not reported, or whose clock is ahead."""
    share = device("a", "b", "c")
    report(share, 0, b=CALM)
    report(share, 90, c=CALM)
    assert share.others("a", s(60)).load == 0


def test_a_fall_is_waited_for() -> None:
    share = device("a", "b")
    report(share, 0, a=CALM, b=CALM)
    share.note_fall("b", s(0))
    assert share.others("a", s(1)).are_settling
    assert not share.others("b", s(1)).are_settling
    assert not share.others("a", s(2)).are_settling


def test_the_newest_is_held_where_an_older_one_is_stuck_for_a_while() -> None:
    share = full_device(4)
    assert not share.take_hold("new", s(4))
    report(share, 5, old=STUCK, new=STUCK)
    assert not share.take_hold("old", s(5))
    assert share.take_hold("new", s(5))
    assert not share.take_hold("old", s(5)), "it is alone now"
    assert share.others("old", s(5)) == Others()


def test_nobody_is_held_for_one_that_is_late_for_another_reason() -> None:
    """the device has room: a viewer whose link or camera is slow costs nobody a picture."""
    idle = replace(STUCK, load=0.1)
    share = device("old", "new")
    for second in range(10):
        report(share, second, old=idle, new=replace(CALM, load=0.3))
    assert not share.take_hold("new", s(9))


def test_nobody_is_held_while_one_in_trouble_can_still_go_down() -> None:
    share = full_device(9, newest=replace(CALM, is_in_trouble=True))
    assert not share.take_hold("new", s(9))
    report(share, 9.5, old=STUCK, new=STUCK)
    assert share.take_hold("new", s(9.5))


def test_nobody_is_held_where_the_levels_do_not_say_so_or_nobody_else_is_there() -> None:
    assert not full_device(9, newest=replace(STUCK, may_be_held=False)).take_hold("new", s(9))
    alone = device("only")
    for second in range(20):
        report(alone, second, only=replace(STUCK, load=1.0))
    assert not alone.take_hold("only", s(19))


def test_a_stream_that_recovers_in_between_is_not_stuck() -> None:
    share = full_device(4)
    report(share, 4.5, old=replace(STUCK, is_stuck=False), new=CALM)
    report(share, 5, old=STUCK, new=STUCK)
    assert not share.take_hold("new", s(6))


def held(at_s: float = 5) -> DeviceShare:
    share = full_device(at_s)
    assert share.take_hold("new", s(at_s))
    return share


def test_a_held_stream_comes_back_when_it_fits_and_all_is_calm() -> None:
    share = held()
    for second in range(6, 24):
        report(share, second, old=CALM)
        assert not share.take_return("new", s(second)), "it has not waited long enough"
    report(share, 26, old=replace(CALM, need=0.6))
    assert not share.take_return("new", s(26)), "it would not fit"
    report(share, 27, old=CALM)
    assert not share.take_return("old", s(27)), "it is not held"
    assert share.take_return("new", s(27))
    assert not share.take_return("new", s(27))


def test_a_held_stream_waits_for_the_trouble_of_others_to_pass() -> None:
    share = held()
    for second in range(6, 40):
        report(share, second, old=replace(CALM, is_in_trouble=second == 30))
        assert share.take_return("new", s(second)) == (second == 25)
        if second == 25:
            break
    again = held()
    for second in range(6, 60):
        report(again, second, old=replace(CALM, is_in_trouble=second < 30))
        if again.take_return("new", s(second)):
            assert second == 39
            return
    raise AssertionError("it never came back")


def test_a_held_stream_that_is_left_alone_comes_back_at_once() -> None:
    share = held()
    share.leave("old")
    assert share.take_return("new", s(5.1))


def test_the_one_that_was_held_first_comes_back_first_and_waits_longer_the_next_time() -> None:
    share = device("old", "new", "newest")
    for second in range(7):
        report(share, second, old=STUCK, new=STUCK, newest=STUCK)
    assert share.take_hold("newest", s(6))
    for second in range(7, 14):
        report(share, second, old=STUCK, new=STUCK)
    assert share.take_hold("new", s(13))
    for second in range(14, 40):
        report(share, second, old=CALM)
    assert not share.take_return("newest", s(39)), "the older one first"
    assert share.take_return("new", s(39))
    assert share.take_return("newest", s(39)), "what the others need allows it, too"
    for second in range(40, 50):
        report(share, second, old=STUCK, new=STUCK, newest=STUCK)
    assert share.take_hold("newest", s(49))
    for second in range(50, 79):
        report(share, second, old=CALM, new=replace(CALM, need=0.1))
        assert not share.take_return("newest", s(second))
    report(share, 79, old=CALM, new=replace(CALM, need=0.1))
    assert share.take_return("newest", s(79))


def test_a_stream_that_has_not_joined_may_leave() -> None:
    device().leave("nobody")


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["report", "stuck", "hold", "return", "leave"]),
            st.integers(-5, 30),
        ),
        max_size=60,
    )
)
def test_the_oldest_is_never_held_and_nobody_is_held_twice(
    events: list[tuple[str, str, int]],
) -> None:
    """whatever streams report and when, and however the clock jumps."""
    share, members, down, now_s = device(*"abc"), list("abc"), set[str](), 0.0
    for stream, event, later_s in events:
        now_s += later_s
        if stream not in members:
            continue
        match event:
            case "report":
                report(share, now_s, **{stream: CALM})
            case "stuck":
                report(share, now_s, **{stream: replace(STUCK, load=1.0)})
            case "hold" if share.take_hold(stream, s(now_s)):
                assert stream not in down
                assert stream != next(one for one in members if one not in down)
                down.add(stream)
            case "return" if share.take_return(stream, s(now_s)):
                assert stream in down
                down.discard(stream)
            case "leave":
                share.leave(stream)
                members.remove(stream)
                down.discard(stream)
