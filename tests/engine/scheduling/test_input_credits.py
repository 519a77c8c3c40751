"""scheduling/input_credits.py: which credit is granted next."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.scheduling.input_credits import Credit, CreditQueue


def credit(stream: int) -> Credit:
    return Credit(stream=stream, slot=0)


def test_one_at_a_time_in_the_order_they_were_added() -> None:
    """the stream that has waited longest is first."""
    queue = CreditQueue()
    for stream in (2, 0, 1):
        queue.add(credit(stream))
    assert queue.grant_one() == [credit(2)]
    assert queue.grant_one() == [credit(0)]
    queue.add(credit(2))
    assert queue.grant_one() == [credit(1)]
    assert queue.grant_one() == [credit(2)]
    assert queue.grant_one() == []


def test_all_at_once() -> None:
    """in order, and then none is left."""
    queue = CreditQueue()
    queue.add(credit(0))
    queue.add(credit(1))
    assert queue.grant_all() == [credit(0), credit(1)]
    assert queue.grant_all() == []


def test_a_closed_stream_gets_no_credit() -> None:
    """its slots start anew with the next stream on the lane."""
    queue = CreditQueue()
    for stream in (0, 1, 0):
        queue.add(credit(stream))
    queue.remove_stream(0)
    assert queue.grant_all() == [credit(1)]


@given(st.lists(st.sampled_from(["add", "grant one", "grant all"]), max_size=60))
def test_every_credit_is_granted_once(actions: list[str]) -> None:
    """whatever happens in between, and in order."""
    queue, added, granted = CreditQueue(), 0, []
    for action in actions:
        if action == "add":
            queue.add(credit(added))
            added += 1
        elif action == "grant all":
            granted += queue.grant_all()
        else:
            one = queue.grant_one()
            assert len(one) <= 1
            granted += one
    granted += queue.grant_all()
    assert [each.stream for each in granted] == list(range(added))
