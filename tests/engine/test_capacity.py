"""What the scheduler makes of a device's capacity: who is let in, who pays, who gets company."""

import pytest
from slipstream_engine.backlog import Backlog
from slipstream_engine.latency import LatencyModel, Line
from slipstream_engine.scheduler import Scheduler
from slipstream_engine.work import Kind, Shape

from tests.engine.exact_device import LINES, MS, TINY, exact_model


def test_streams_are_admitted_up_to_what_the_device_can_do() -> None:
    """a stream is let in while all together would leave the device a tenth of its time."""
    scheduler = Scheduler(exact_model("tiny"), caution=0)
    admitted = 0
    while (admission := scheduler.admit(TINY, period_ns=400 * MS)).reason is None:
        scheduler.open(admitted, period_ns=400 * MS)
        scheduler.offer(admitted, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
        admitted += 1
    items = 2 * (admitted + 1)
    expected = (admitted + 1) * (10 + 20 + 2 * (10 + 30 / items)) / 400
    assert admission.load == pytest.approx(expected, rel=0.01)
    assert admission.load > 0.9 >= expected * admitted / (admitted + 1)
    assert admission.retry_after_s > 0
    assert admission.reason.startswith("load would be ")
    assert "a chunk takes 110 ms alone and comes every 400 ms" in admission.reason
    scheduler.close(0)
    assert scheduler.admit(TINY, period_ns=400 * MS).reason is None


def test_admission_goes_by_what_is_measured() -> None:
    """a device found to be five times slower takes fewer streams."""
    model = exact_model("tiny")
    scheduler = Scheduler(model)
    assert scheduler.admit(TINY, period_ns=200 * MS).reason is None
    for _ in range(20):
        for stage, line in LINES.items():
            kind = Kind(stage=stage, level="tiny")
            model.observe(kind, items=1, duration_ns=5 * line.at(1))
    assert Scheduler(model).admit(TINY, period_ns=200 * MS).reason is not None


def test_a_camera_slower_than_promised_counts_for_what_it_sends() -> None:
    """the period follows the chunks, up only: a promise of 50 ms that turns out to be 500."""
    scheduler = Scheduler(exact_model("tiny"), caution=0)
    scheduler.open(0, period_ns=50 * MS)
    assert scheduler.admit(TINY, period_ns=500 * MS).reason is None  # nothing is known of it yet
    scheduler.offer(0, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
    assert scheduler.admit(TINY, period_ns=500 * MS).reason is not None
    for chunk in range(1, 60):
        scheduler.offer(0, chunk, now_ns=0, deadline_ns=10**12 + chunk * 500 * MS, shape=TINY)
    assert scheduler.admit(TINY, period_ns=500 * MS).reason is None


def test_a_stream_pays_for_haste_with_a_few_periods_at_most() -> None:
    """one that sends ten times faster than it promised, for long, is soon caught up with."""
    backlog = Backlog()
    backlog.open(0, period_ns=100 * MS)
    for number in range(200):
        backlog.offer(0, number, deadline_ns=number * 10 * MS, shape=TINY)
        (chunk,) = [c for c in backlog.lanes[0].ready() if not c.is_begun]
        batch = backlog.begin([chunk])
        while not backlog.done(batch):
            batch = backlog.begin(backlog.lanes[0].ready())
    assert chunk.rank_ns - chunk.deadline_ns == 4 * 100 * MS


def test_company_is_wanted_where_it_helps() -> None:
    """when chunk after chunk would fill the device, passes gain by it, and there are steps to share
    them; the rate that counts is the one seen, not the one promised."""
    shape = Shape(level="tiny", steps=2)

    def wants(
        shape: Shape = shape, *, gap_ms: int = 30, base_ms: int = 10, max_batch: int = 4
    ) -> bool:
        line = Line(base_ns=base_ms * MS, per_item_ns=10 * MS)
        scheduler = Scheduler(LatencyModel(line), max_batch=max_batch)
        scheduler.open(0, period_ns=500 * MS)
        for chunk in range(40):
            deadline_ns = 10**12 + chunk * gap_ms * MS
            scheduler.offer(0, chunk, now_ns=0, deadline_ns=deadline_ns, shape=shape)
        return scheduler.wants_company(0)

    assert wants()
    assert not wants(gap_ms=200)
    assert not wants(base_ms=0)
    assert not wants(max_batch=1)
    assert not wants(Shape(level="tiny", steps=1))
