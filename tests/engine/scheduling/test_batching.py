"""scheduling/batching.py under an exact model: which chunks share a pass, and which must not."""

from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape

from tests.engine.exact_device import (
    MS,
    OTHER,
    TINY,
    CheckedScheduler,
    on_device,
    ran,
)


def run_camera(
    device: CheckedScheduler, *, streams: int, period_ms: int, chunks: int, age_ms: int
) -> None:
    """Offer chunks of all streams at their time, whatever the device is busy with."""
    arrivals = [
        (chunk * period_ms + stream * period_ms // streams, stream, chunk)
        for chunk in range(chunks)
        for stream in range(streams)
    ]
    while arrivals or device.chunks:
        while arrivals and arrivals[0][0] * MS <= device.now_ns:
            at_ms, stream, chunk = arrivals.pop(0)
            device.offer(stream, chunk, deadline_ms=at_ms + age_ms)
        if device.step() is None and arrivals:
            device.now_ns = max(device.now_ns, arrivals[0][0] * MS)


def test_stream_batched_when_saturated() -> None:
    """a stream faster than chunk after chunk, yet not than the stream batch, loses nothing."""
    device = on_device(period_ms=95)  # alone 110 ms, with the steps of two chunks in a pass 80 ms
    run_camera(device, streams=1, period_ms=95, chunks=200, age_ms=400)
    assert device.dropped == []
    assert max(len(batch.items) for batch in device.batches) == 2
    shared = [batch for batch in device.batches if len(batch.items) == 2]
    assert all({item.stream for item in batch.items} == {0} for batch in shared)


def test_streams_share_passes_when_saturated() -> None:
    """four streams that would take 1.1 devices one by one all keep their deadlines together."""
    device = on_device(streams=4, period_ms=400)
    run_camera(device, streams=4, period_ms=400, chunks=50, age_ms=500)
    assert device.dropped == []
    assert any(len({item.stream for item in batch.items}) > 1 for batch in device.batches)


def test_levels_do_not_mix() -> None:
    """chunks that need another forward pass get one of their own."""
    device = on_device(streams=2, period_ms=50)
    for chunk in range(20):
        device.offer(0, chunk, deadline_ms=10_000)
        device.offer(1, chunk, deadline_ms=10_000, shape=OTHER)
        for _ in range(3):
            device.step()
    device.drain()
    assert {batch.kind.level for batch in device.batches} == {"tiny", "other"}


def test_a_pass_is_no_larger_than_the_device_takes() -> None:
    """`max_batch` bounds every batch."""
    device = on_device(streams=8, period_ms=100, max_batch=3)
    run_camera(device, streams=8, period_ms=100, chunks=20, age_ms=5000)
    assert max(len(batch.items) for batch in device.batches) == 3


def test_nothing_is_shared_where_sharing_saves_nothing() -> None:
    """a pass whose time is all arithmetic is not made longer by sharing it."""
    model = LatencyModel(LinearLatency(base_ns=0, per_item_ns=20 * MS))
    scheduler = Scheduler(model)
    for stream in range(4):
        scheduler.open(stream, period_ns=1)
        scheduler.offer(stream, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
    while batch := scheduler.next_batch(0):
        assert len(batch.items) == 1
        scheduler.done(batch, started_ns=0, ended_ns=20 * MS)


def test_the_number_of_steps_may_change_between_chunks() -> None:
    """four steps, then one, then three: each begins when the one before has ended."""
    device = on_device(period_ms=50)
    for chunk, steps in enumerate((4, 1, 3, 1)):
        device.offer(0, chunk, deadline_ms=5000, shape=ChunkShape(level="tiny", steps=steps))
        while not device.scheduler.has_room(0):
            device.step()
    device.drain()
    chunks = [item.chunk for batch in device.batches for item in batch.items]
    assert chunks == sorted(chunks)
    assert [chunk for _, chunk, _ in device.finished] == [0, 1, 2, 3]


def test_chunks_that_must_be_alone_are() -> None:
    """even where each has the shape of the one before it."""
    device = on_device(period_ms=50)
    lonely = ChunkShape(level="tiny", steps=2, alone=True)
    for chunk in range(4):
        device.offer(0, chunk, deadline_ms=5000, shape=lonely)
        while not device.scheduler.has_room(0):
            device.step()
    device.drain()
    chunks = [item.chunk for batch in device.batches for item in batch.items]
    assert chunks == sorted(chunks)


def test_a_stage_is_for_one_chunk_of_a_stream_at_a_time() -> None:
    """a second chunk waits behind the first in every stage, though several may be under way."""
    device = on_device(period_ms=1)
    device.offer(0, 0, deadline_ms=5000)
    encode = device.scheduler.next_batch(0)
    device.offer(0, 1, deadline_ms=5001)
    assert encode and device.scheduler.next_batch(0) is None
    device.run(encode)
    assert ran(device.step()) == [(0, 0, "step0")]
    assert ran(device.step()) == [(0, 1, "encode")]
    assert ran(device.step()) == [(0, 0, "step1"), (0, 1, "step0")]
    decode = device.scheduler.next_batch(device.now_ns)
    last = device.scheduler.next_batch(device.now_ns)
    assert ran(decode) == [(0, 0, "decode")] and ran(last) == [(0, 1, "step1")]
    assert decode and last
    device.run(last)
    assert device.scheduler.next_batch(device.now_ns) is None
    device.run(decode)
    assert ran(device.step()) == [(0, 1, "decode")]


def test_a_chunk_joins_only_where_its_first_step_is_free() -> None:
    """until the chunk before it has taken step 0, encoding brings it no nearer to a pass."""
    device = on_device(streams=2, period_ms=1)
    device.offer(0, 0, deadline_ms=5000)
    device.step()
    device.offer(0, 1, deadline_ms=5001)
    assert ran(device.step()) == [(0, 0, "step0")]
