"""The capacity of a device: which streams are admitted, when the next chunks are wanted."""

import pytest
from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape, PassKind, Prefetch

from tests.engine.exact_device import LINES, MS, TINY, exact_model

STEPPED = ChunkShape(level="tiny", steps=2)


def test_streams_are_admitted_up_to_what_the_device_can_do() -> None:
    """a stream is admitted while all together would leave the device a tenth of its time."""
    scheduler = Scheduler(exact_model("tiny"), caution=0)
    admitted = 0
    while (admission := scheduler.admit(TINY, now_ns=0, period_ns=400 * MS)).reason is None:
        scheduler.open(admitted, period_ns=400 * MS)
        scheduler.offer(admitted, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
        admitted += 1
    items = 2 * (admitted + 1)
    expected = (admitted + 1) * (10 + 20 + 2 * (10 + 30 / items)) / 400
    assert admission.load == pytest.approx(expected, rel=0.01)
    assert admission.load > 0.9 >= expected * admitted / (admitted + 1)
    assert admission.reason.startswith("load would be ")
    assert "a chunk takes 110 ms alone and comes every 400 ms" in admission.reason
    scheduler.close(0)
    assert scheduler.admit(TINY, now_ns=0, period_ns=400 * MS).reason is None


def test_admission_goes_by_what_is_measured() -> None:
    """a device found to be five times slower takes fewer streams."""
    model = exact_model("tiny")
    scheduler = Scheduler(model)
    assert scheduler.admit(TINY, now_ns=0, period_ns=200 * MS).reason is None
    for _ in range(20):
        for stage, line in LINES.items():
            kind = PassKind(stage=stage, level="tiny")
            model.observe(kind, items=1, duration_ns=5 * line.at(1))
    assert Scheduler(model).admit(TINY, now_ns=0, period_ns=200 * MS).reason is not None


def test_a_camera_slower_than_promised_counts_for_what_it_sends() -> None:
    """the period follows the chunks, up only: a promise of 50 ms that turns out to be 500."""
    scheduler = Scheduler(exact_model("tiny"), caution=0)
    scheduler.open(0, period_ns=50 * MS)
    assert (
        scheduler.admit(TINY, now_ns=0, period_ns=500 * MS).reason is None
    )  # nothing is known of it yet
    scheduler.offer(0, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
    assert scheduler.admit(TINY, now_ns=0, period_ns=500 * MS).reason is not None
    for chunk in range(1, 60):
        scheduler.offer(0, chunk, now_ns=0, deadline_ns=10**12 + chunk * 500 * MS, shape=TINY)
    assert scheduler.admit(TINY, now_ns=0, period_ns=500 * MS).reason is None


def test_a_hasty_stream_is_set_back_by_a_few_periods_at_most() -> None:
    """one that sends ten times faster than it promised, for long, is soon caught up with."""
    backlog = Backlog()
    backlog.open(0, period_ns=100 * MS)
    for number in range(200):
        backlog.offer(0, number, now_ns=0, deadline_ns=number * 10 * MS, shape=TINY)
        (chunk,) = [c for c in backlog.queues[0].ready() if not c.is_begun]
        batch = backlog.begin([chunk])
        while not backlog.done(batch):
            batch = backlog.begin(backlog.queues[0].ready())
    assert chunk.paced_deadline_ns - chunk.deadline_ns == 4 * 100 * MS


def prefetch(
    shape: ChunkShape = STEPPED,
    *,
    gap_ms: int = 30,
    base_ms: int = 10,
    max_batch: int = 4,
    other_gap_ms: int | None = None,
    later_ms: int = 0,
) -> Prefetch:
    """Of stream 0 after forty chunks `gap_ms` apart, perhaps beside another stream."""
    line = LinearLatency(base_ns=base_ms * MS, per_item_ns=10 * MS)
    scheduler = Scheduler(LatencyModel(line), max_batch=max_batch)
    scheduler.open(0, period_ns=500 * MS)
    scheduler.open(1, period_ns=500 * MS)
    for chunk in range(40):
        for stream, every_ms in ((0, gap_ms), (1, other_gap_ms)):
            if every_ms is not None:
                deadline_ns = 10**12 + chunk * every_ms * MS
                scheduler.offer(stream, chunk, now_ns=0, deadline_ns=deadline_ns, shape=shape)
    while batch := scheduler.next_batch(0):
        scheduler.done(batch, started_ns=0, ended_ns=line_ns(line, len(batch.items)))
    scheduler.next_batch(later_ms * MS)
    return scheduler.prefetch(0)


def line_ns(line: LinearLatency, items: int) -> int:
    return round(line.at(items))


def test_a_chunk_follows_a_step_behind_where_that_helps() -> None:
    """when chunk after chunk would fill the device, sharing passes pays, and the stream has steps
    to share with itself; the rate that counts is the observed one, not the promised one."""
    assert prefetch() is Prefetch.AFTER_ENCODE
    assert prefetch(gap_ms=200) is Prefetch.ON_IDLE
    assert prefetch(base_ms=0) is Prefetch.ON_IDLE
    assert prefetch(max_batch=2) is Prefetch.AFTER_ENCODE
    assert prefetch(max_batch=1) is Prefetch.ON_IDLE
    assert prefetch(ChunkShape(level="tiny", steps=1)) is Prefetch.ON_IDLE
    assert prefetch(ChunkShape(level="tiny", steps=0)) is Prefetch.ON_IDLE
    fresh = Scheduler(exact_model("tiny"))
    fresh.open(0, period_ns=MS)
    assert fresh.prefetch(0) is Prefetch.ON_IDLE


def test_where_others_share_the_passes_a_chunk_waits_for_the_one_before() -> None:
    """beside a second stream on a full device the next chunk is wanted after the output; but a
    stream that has sent nothing for more than four of its gaps shares passes with nobody."""
    assert prefetch(other_gap_ms=30) is Prefetch.AFTER_OUTPUT
    assert prefetch(ChunkShape(level="tiny", steps=1), other_gap_ms=30) is Prefetch.AFTER_OUTPUT
    assert prefetch(other_gap_ms=30, max_batch=1) is Prefetch.ON_IDLE
    assert prefetch(gap_ms=60, base_ms=30, other_gap_ms=60, later_ms=230) is Prefetch.AFTER_OUTPUT
    assert prefetch(gap_ms=30, base_ms=30, other_gap_ms=60, later_ms=10_000) is Prefetch.ON_IDLE


def test_a_paused_stream_counts_less_and_less() -> None:
    """a viewer who sends nothing for a second counts for one chunk a second, and back in full with
    the next chunk; one whose chunk is under way has not stopped."""
    scheduler = Scheduler(exact_model("tiny"), caution=0)

    def load(now_ms: int) -> float:
        return scheduler.admit(TINY, now_ns=now_ms * MS, period_ns=400 * MS).load

    alone = load(0)
    scheduler.open(0, period_ns=400 * MS)
    scheduler.offer(0, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
    busy = load(0)
    assert load(10_000) == busy, "its chunk is still here"
    while batch := scheduler.next_batch(0):
        scheduler.done(batch, started_ns=0, ended_ns=MS)
    assert load(400) == pytest.approx(load(0))
    mine = load(0) - load(10**9)
    assert mine > 0
    assert load(4000) - load(10**9) == pytest.approx(mine / 10, rel=0.01)
    scheduler.offer(0, 1, now_ns=4000 * MS, deadline_ns=10**12, shape=TINY)
    assert load(10**9) == load(4000) > alone
    while batch := scheduler.next_batch(4000 * MS):
        scheduler.done(batch, started_ns=0, ended_ns=MS)
    mine = load(4400) - load(10**9)
    assert mine > 0
    assert load(8000) - load(10**9) == pytest.approx(mine / 10, rel=0.01)


def test_a_slower_camera_is_believed_a_faster_one_is_not() -> None:
    """the period settles at what is seen where that is more than was promised, and stays there."""
    backlog = Backlog()
    for stream, gap_ms in ((0, 500), (1, 10)):
        backlog.open(stream, period_ns=50 * MS)
        for number in range(80):
            deadline_ns = number * gap_ms * MS
            backlog.offer(stream, number, now_ns=0, deadline_ns=deadline_ns, shape=TINY)
    assert backlog.queues[0].period_ns == pytest.approx(500 * MS, rel=0.01)
    assert backlog.queues[1].period_ns == 50 * MS
    assert backlog.queues[1].gap_ns == pytest.approx(10 * MS, rel=0.01)
