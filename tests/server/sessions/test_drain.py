"""How long a drain lasts, and what is said of it."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.sessions.drain import Drain

seconds = st.floats(0, 86_400)


@given(drain_s=seconds, began_s=seconds, passed_s=seconds)
def test_what_is_told_is_what_is_left(drain_s: float, began_s: float, passed_s: float) -> None:
    """never less than nothing; a newcomer is asked to wait for the next server besides."""
    began_ns = round(began_s * NS_PER_S)
    drain, now_ns = (
        Drain(drain_s=drain_s, now_ns=began_ns, hands_over=False),
        began_ns + round(passed_s * NS_PER_S),
    )
    left_s = max(0.0, drain_s - passed_s)
    assert abs(drain.remaining_s(now_ns) - left_s) < 1e-6
    assert abs(drain.notice(now_ns, resume_token=None).ends_in_s - left_s) <= 0.05 + 1e-6
    assert drain.refusal(now_ns).retry_after_s > left_s


def test_a_publisher_is_given_its_token() -> None:
    notice = Drain(drain_s=3, now_ns=0, hands_over=False).notice(NS_PER_S, resume_token="s.secret")
    assert (notice.reason, notice.ends_in_s, notice.resume_token) == (
        *("the server is stopping", 2.0),
        "s.secret",
    )


@given(drain_s=seconds)
def test_where_others_take_calls_nobody_waits_for_the_end(drain_s: float) -> None:
    """a page is told to move at once, and a newcomer to ask again."""
    drain = Drain(drain_s=drain_s, now_ns=0, hands_over=True)
    assert drain.notice(0, resume_token=None).hands_over
    assert drain.refusal(0).retry_after_s == 1
