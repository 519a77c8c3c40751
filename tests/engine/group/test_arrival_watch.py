"""group/arrival_watch.py: what comes is noticed, and what never comes leaves nothing behind."""

import os
import select
import threading

import pytest
import torch
from slipstream_engine.group.arrival_watch import ArrivalWatch
from slipstream_engine.parallel.links import Arrival
from slipstream_engine.parallel.message_layouts import MessageLayout

WAIT_S = 10.0


class Dial:
    """A transfer that ends when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def wait(self) -> None:
        self.finish()

    def finish(self) -> None:
        assert self.let_go.wait(WAIT_S)


def arrival_of(dial: Dial) -> Arrival:
    return Arrival(MessageLayout({}), torch.zeros(0, dtype=torch.uint8), dial, lambda _: None)


def thread_of(source: str) -> threading.Thread:
    (found,) = (one for one in threading.enumerate() if one.name == f"arrivals of {source}")
    return found


def test_what_comes_is_told_in_order_and_wakes() -> None:
    watch, calls, all_come = ArrivalWatch(), list[str](), threading.Event()
    first, second = Dial(), Dial()
    watch.watch("in order", arrival_of(first), lambda: calls.append("first"))
    watch.watch("in order", arrival_of(second), all_come.set)
    second.let_go.set()
    assert not calls and not all_come.is_set()
    first.let_go.set()
    assert all_come.wait(WAIT_S) and calls == ["first"]
    assert select.select(watch.wakes, [], [], WAIT_S)[0]
    thread = thread_of("in order")
    watch.close()
    assert not thread.is_alive()


def test_a_wait_for_a_rank_that_hangs_ends_with_it() -> None:
    """its thread then does nothing more, and closes what woke the rank."""
    watch, calls, dial = ArrivalWatch(), list[str](), Dial()
    (descriptor,) = watch.wakes
    watch.watch("a rank that hangs", arrival_of(dial), lambda: calls.append("come"))
    thread = thread_of("a rank that hangs")
    watch.close()
    assert thread.is_alive()
    os.fstat(descriptor)  # still the thread's, not another file's by now
    dial.let_go.set()
    thread.join(WAIT_S)
    assert not thread.is_alive() and calls == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
