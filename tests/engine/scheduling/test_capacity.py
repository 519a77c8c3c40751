"""The capacity of a device: when the next chunks are wanted."""

import pytest
from slipstream_engine.scheduling.backlog import Backlog
from slipstream_engine.scheduling.capacity import Capacity
from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape, Placement, Prefetch

from tests.engine.exact_device import MS, TINY, exact_model

STEPPED = ChunkShape(level="tiny", steps=2)


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


LAYERS = Placement(decode_rank=3, paths=((0, 1, 2, 3),))
CODEC_APART = Placement(encode_rank=0, decode_rank=3, paths=((1, 2),))
BY_STEPS = Placement(decode_rank=1, paths=((0,), (1,)), path_of_step=(0, 1))


@pytest.mark.parametrize(
    ("placement", "base_ms", "max_batch", "streams", "enough"),
    [
        (Placement(), 10, 4, 1, None),  # one rank: a chunk waits for its own passes only
        (LAYERS, 10, 1, 1, 6),  # one for each rank, and for each step that comes to the same
        (LAYERS, 10, 1, 3, 6),
        (CODEC_APART, 10, 1, 1, 6),  # two ranks of the path, two of the codec, two steps
        (BY_STEPS, 10, 1, 1, 3),  # one step comes to each
        (LAYERS, 10, 4, 1, 10),  # passes of two on four ranks, two more as not all are full
        (LAYERS, 10, 4, 2, 18),
        (LAYERS, 10, 4, 9, 18),
        (LAYERS, 0, 4, 2, 6),  # nothing is gained by sharing passes
    ],
)
def test_so_many_chunks_keep_every_rank_busy(
    placement: Placement, base_ms: int, max_batch: int, streams: int, enough: int | None
) -> None:
    """and one more would only wait between them."""
    backlog = Backlog(placement)
    line = LinearLatency(base_ns=base_ms * MS, per_item_ns=10 * MS)
    capacity = Capacity(backlog, Forecast(LatencyModel(line), caution=0), max_batch=max_batch)
    for stream in range(streams):
        backlog.open(stream, period_ns=100 * MS)
        backlog.offer(stream, 0, now_ns=0, deadline_ns=MS, shape=STEPPED)
    plan = backlog.plan(STEPPED)
    if enough is None:
        assert not capacity.is_full(plan, 1000)
    else:
        assert not capacity.is_full(plan, enough - 1)
        assert capacity.is_full(plan, enough)


def test_chunk_after_chunk_fills_a_device_at_four_fifths() -> None:
    """the load is that of all streams, each step alone, by the distance of their chunks."""
    for gap_ms, is_saturated in ((74, True), (76, False)):
        backlog = Backlog()
        line = LinearLatency(base_ns=5 * MS, per_item_ns=10 * MS)  # 15 ms a pass, 60 a chunk
        capacity = Capacity(backlog, Forecast(LatencyModel(line), caution=0), max_batch=1)
        for stream in range(2):  # of half the rate each
            backlog.open(stream, period_ns=2 * gap_ms * MS)
            backlog.offer(stream, 0, now_ns=0, deadline_ns=MS, shape=STEPPED)
        assert capacity.is_saturated(0) is is_saturated
