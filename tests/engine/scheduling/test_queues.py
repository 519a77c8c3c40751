"""scheduling/queues.py: how far apart a stream's chunks are, and how long it is silent."""

import pytest
from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.queues import QueuedChunk, StreamQueue

from tests.engine.exact_device import MS, TINY

PERIOD_NS = 100 * MS


def after_deadlines(*deadlines_ms: int) -> StreamQueue:
    queue = StreamQueue(0, PERIOD_NS)
    for deadline_ms in deadlines_ms:
        queue.observe_deadline(deadline_ms * MS)
    return queue


def test_the_mean_gap_follows_the_chunks() -> None:
    """by an eighth of what is new; the period that is due goes up with it."""
    queue = after_deadlines(0, 180)
    assert queue.gap_ns == queue.period_ns == 110 * MS


def test_chunks_faster_than_promised_are_not_owed_more() -> None:
    """the gap is seen, the promise stays."""
    queue = after_deadlines(0, 20)
    assert (queue.gap_ns, queue.period_ns) == (90 * MS, PERIOD_NS)


def test_a_long_gap_counts_as_four_periods() -> None:
    """a stream that paused for an hour is not taken for a slow one."""
    queue = after_deadlines(0, 3_600_000)
    assert queue.gap_ns == queue.period_ns == pytest.approx(137.5 * MS)


def test_a_deadline_that_steps_back_is_a_gap_of_nothing() -> None:
    """clocks do."""
    queue = after_deadlines(500, 0)
    assert queue.gap_ns == pytest.approx(87.5 * MS)
    assert queue.period_ns == PERIOD_NS


def test_a_stream_is_silent_since_its_newest_chunk_came() -> None:
    """not at all while one waits."""
    queue = after_deadlines(0)
    queue.last_offer_ns = 30 * MS
    assert queue.silent_ns(50 * MS) == 20 * MS
    plan = Backlog().plan(TINY)
    queue.waiting = QueuedChunk(queue, number=0, deadline_ns=0, shape=TINY, plan=plan)
    assert queue.silent_ns(50 * MS) == 0
