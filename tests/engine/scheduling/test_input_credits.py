"""scheduling/input_credits.py: who is asked for the next chunk, and when."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.scheduling.input_credits import CreditQueue
from slipstream_protocol.messages import SlotFree


def slot(lane: int) -> SlotFree:
    return SlotFree(lane=lane, slot=0)


def test_one_at_a_time_in_the_order_they_were_served() -> None:
    """nobody is asked while something is left to begin; then the longest unserved."""
    turns = CreditQueue()
    for lane in (2, 0, 1):
        turns.wait(slot(lane))
    assert turns.due(is_last=False) == []
    assert turns.due(is_last=True) == [slot(2)]
    assert turns.due(is_last=True) == [slot(0)]
    turns.wait(slot(2))
    assert turns.due(is_last=True) == [slot(1)]
    assert turns.due(is_last=True) == [slot(2)]
    assert turns.due(is_last=True) == []


def test_an_idle_device_asks_everybody() -> None:
    """a camera that has nothing to send keeps nobody else waiting."""
    turns = CreditQueue()
    turns.wait(slot(0))
    turns.wait(slot(1))
    assert turns.all_due() == [slot(0), slot(1)]
    assert turns.all_due() == []


def test_who_has_left_is_not_asked() -> None:
    """its slots start anew with the next viewer on the lane."""
    turns = CreditQueue()
    for lane in (0, 1, 0):
        turns.wait(slot(lane))
    turns.leave(0)
    assert turns.all_due() == [slot(1)]


@given(st.lists(st.sampled_from(["wait", "pass", "last", "idle"]), max_size=60))
def test_every_slot_is_given_back_once(actions: list[str]) -> None:
    """whatever happens in between, and in order."""
    turns, waited, given_back = CreditQueue(), 0, []
    for action in actions:
        if action == "wait":
            turns.wait(slot(waited))
            waited += 1
        elif action == "idle":
            given_back += turns.all_due()
        else:
            due = turns.due(is_last=action == "last")
            assert len(due) <= (action == "last")
            given_back += due
    given_back += turns.all_due()
    assert [free.lane for free in given_back] == list(range(waited))
