"""The scheduler under an exact model: what runs next, what is dropped, and that none starves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import MAX_BATCH, PATIENCE_BATCHES, Scheduler
from slipstream_engine.scheduling.types import Batch, ChunkShape, DropCause, DroppedChunk

from tests.engine.exact_device import ALONE_MS, LINES, MS, TINY, CheckedScheduler, exact_model, ran

OTHER = ChunkShape(level="other", steps=1)


def on_device(
    *,
    streams: int = 1,
    period_ms: float = 1000,
    max_batch: int = MAX_BATCH,
    patience: int = PATIENCE_BATCHES,
) -> CheckedScheduler:
    model = exact_model("tiny", "other")
    scheduler = Scheduler(model, max_batch=max_batch, patience=patience, caution=0)
    for stream in range(streams):
        scheduler.open(stream, period_ns=round(period_ms * MS))
    return CheckedScheduler(scheduler)


# ---- order


def test_a_lone_chunk_runs_through_in_order() -> None:
    """encode, each step, decode, one after the other, and then nothing."""
    device = on_device()
    device.offer(0, 0, deadline_ms=500)
    device.drain()
    assert [ran(batch) for batch in device.batches] == [
        [(0, 0, "encode")],
        [(0, 0, "step0")],
        [(0, 0, "step1")],
        [(0, 0, "decode")],
    ]
    assert device.finished == [(0, 0, ALONE_MS * MS)]


@given(st.permutations(range(6)))
def test_the_earliest_deadline_goes_first(order: list[int]) -> None:
    """with slack, chunks of like streams are finished one by one in order of their deadlines."""
    device = on_device(streams=6, period_ms=100_000)
    for stream, place in enumerate(order):
        device.offer(stream, 0, deadline_ms=50_000 + place)
    device.drain()
    assert [order[stream] for stream, _, _ in device.finished] == sorted(order)
    assert {len(batch.items) for batch in device.batches} == {1}


def test_sequential_with_slack() -> None:
    """a stream slower than the device never shares a pass: the lowest latency."""
    device = on_device(period_ms=200)
    for chunk in range(20):
        device.now_ns = max(device.now_ns, chunk * 200 * MS)
        device.offer(0, chunk, deadline_ms=chunk * 200 + 400)
        device.drain()
    assert {len(batch.items) for batch in device.batches} == {1}
    assert [at_ns - chunk * 200 * MS for _, chunk, at_ns in device.finished] == [ALONE_MS * MS] * 20


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


# ---- deadlines


def test_the_head_is_not_delayed_by_sharing_its_pass() -> None:
    """a pass is as large as the tightest deadline in it allows."""
    device = on_device(streams=3, period_ms=1)
    for stream, deadline_ms in enumerate((141, 600, 601)):
        device.offer(stream, 0, deadline_ms=deadline_ms)
    device.step()
    device.drain()
    sizes = [len(batch.items) for batch in device.batches]
    assert max(sizes) == 2
    assert [stream for stream, _, at_ns in device.finished] == [0, 1, 2]
    assert device.finished[0][2] <= 141 * MS


def test_what_cannot_be_finished_is_not_begun() -> None:
    """of six at once that would be late together, those are begun that will be in time."""
    device = on_device(streams=6, period_ms=1)
    for stream in range(6):
        device.offer(stream, 0, deadline_ms=300)
    device.drain()
    assert all(at_ns <= 300 * MS for _, _, at_ns in device.finished)
    assert len(device.finished) >= 3
    assert {item.cause for item in device.dropped} == {DropCause.OVERDUE}
    assert len(device.finished) + len(device.dropped) == 6


def test_after_a_stall_the_pass_shrinks() -> None:
    """of three that were to share a pass, the first goes alone when only that is in time."""
    device = on_device(streams=3, period_ms=1)
    for stream, deadline_ms in enumerate((250, 900, 901)):
        device.offer(stream, 0, deadline_ms=deadline_ms)
    for _ in range(3):
        device.step()
    device.now_ns += 118 * MS
    assert ran(device.step()) == [(0, 0, "step0")]


def kept(
    slacks_ns: dict[tuple[int, int], float],
    batch: Batch,
    size: int,
    grace_ns: float,
) -> set[tuple[int, int]]:
    """Chunks in time if the first `size` of a batch ran now and each then went on alone."""
    line = LINES[batch.kind.stage]
    inside = {(item.stream, item.chunk) for item in batch.items[:size]}
    return {
        key
        for key, slack_ns in slacks_ns.items()
        if line.at(size) <= slack_ns + grace_ns + (line.at(1) if key in inside else 0)
    }


offers = st.tuples(
    st.integers(0, 4),  # stream
    st.one_of(st.integers(20, 400), st.integers(400, 3000)),  # deadline, ms from the offer
    st.sampled_from([TINY, TINY, OTHER, ChunkShape(level="tiny", steps=4)]),
)
workloads = st.lists(st.lists(offers, max_size=4), min_size=10, max_size=60)


@given(workloads, st.sampled_from([20, 2000]))
@settings(deadline=None, max_examples=80)
def test_a_larger_batch_costs_no_deadline(
    workload: list[list[tuple[int, int, ChunkShape]]], period_ms: int
) -> None:
    """whatever a smaller batch would have kept, the one that is run keeps; and all rules hold."""
    device = on_device(streams=5, period_ms=period_ms)
    number = 0
    for arrivals in [*workload, *([[]] * 200)]:
        for stream, deadline_ms, shape in arrivals:
            number += 1
            device.offer(stream, number, deadline_ms=device.now_ns / MS + deadline_ms, shape=shape)
        batch = device.scheduler.next_batch(device.now_ns)
        device.collect()
        if batch is None:
            assert not device.chunks, "idle with work to do"
            device.now_ns += 10 * MS
            continue
        slacks = {
            key: seen.deadline_ns - device.now_ns - seen.remaining_ns
            for key, seen in device.chunks.items()
        }
        whole = kept(slacks, batch, len(batch.items), grace_ns=10)
        for size in range(1, len(batch.items)):
            assert kept(slacks, batch, size, grace_ns=-10) <= whole
        device.run(batch)
    assert len(device.ends) == number and set(device.ends.values()) <= {1}


def test_a_chunk_that_came_to_wait_too_long_is_dropped_before_it_is_begun() -> None:
    """what cannot be in time any more is not computed at all."""
    device = on_device(streams=2)
    device.offer(0, 0, deadline_ms=130)
    device.offer(1, 0, deadline_ms=150)  # 110 ms after 110 ms is too late
    device.drain()
    assert device.dropped == [DroppedChunk(stream=1, chunk=0, cause=DropCause.OVERDUE)]
    assert [batch.items[0].stream for batch in device.batches] == [0] * 4


def test_a_chunk_that_was_late_when_it_came_is_computed_nevertheless() -> None:
    """where the target is out of reach, frames come late rather than not at all."""
    device = on_device()
    for chunk in range(10):
        device.offer(0, chunk, deadline_ms=device.now_ns / MS + 50)
        device.drain()
    assert len(device.finished) == 10


def test_a_chunk_that_can_just_be_in_time_keeps_its_deadline() -> None:
    """only one that is late when it comes is given another; a millisecond later it is given up."""
    for late_ms, dropped in ((0, False), (1, True)):
        device = on_device()
        device.offer(0, 0, deadline_ms=ALONE_MS)
        device.now_ns += late_ms * MS
        device.drain()
        assert bool(device.dropped) is dropped


def test_nothing_is_dropped_on_a_guess() -> None:
    """until every stage has been observed, the prior alone is no ground."""
    scheduler = Scheduler(LatencyModel(LinearLatency(base_ns=0, per_item_ns=10**12)))
    scheduler.open(0, period_ns=MS)
    scheduler.offer(0, 0, now_ns=0, deadline_ns=MS, shape=TINY)
    assert scheduler.next_batch(10 * MS) is not None
    assert scheduler.take_dropped() == []


def test_a_newer_chunk_replaces_the_one_that_waits() -> None:
    """at most one chunk waits, the newest; what is under way goes on."""
    device = on_device()
    device.offer(0, 0, deadline_ms=1000)
    device.step()
    for chunk in (1, 2, 5):
        device.offer(0, chunk, deadline_ms=1000 + chunk)
    device.drain()
    assert [(item.chunk, item.cause) for item in device.dropped] == [
        (1, DropCause.REPLACED),
        (2, DropCause.REPLACED),
    ]
    assert [chunk for _, chunk, _ in device.finished] == [0, 5]


# ---- fairness


@given(
    st.integers(2, 5),
    st.lists(st.tuples(st.integers(1, 400), st.integers(20, 2000)), min_size=5, max_size=5),
    st.integers(1, 8),
)
@settings(deadline=None, max_examples=25)
def test_no_stream_is_starved(streams: int, cameras: list[tuple[int, int]], patience: int) -> None:
    """a stream with work at every decision is in one of any `patience + streams` batches."""
    device = on_device(streams=streams, period_ms=1, patience=patience)
    waited = dict.fromkeys(range(streams), 0)
    next_ms = dict.fromkeys(range(streams), 0)
    for _ in range(250):
        for stream in range(streams):
            period_ms, age_ms = cameras[stream]
            if next_ms[stream] * MS <= device.now_ns:
                at_ms = device.now_ns / MS
                device.offer(stream, device.now_ns, deadline_ms=at_ms + age_ms)
                next_ms[stream] = int(at_ms) + period_ms
        wanting = {stream for stream, _ in device.chunks}
        batch = device.step()
        served = {item.stream for item in batch.items} if batch else set()
        if batch is None:
            device.now_ns += MS
        for stream in range(streams):
            waited[stream] = waited[stream] + 1 if stream in wanting - served else 0
            assert waited[stream] <= patience + streams


def test_a_starving_stream_waits_for_no_joiners() -> None:
    """a stream whose patience is out goes on at once, even where others could join it."""
    device = on_device(streams=3, period_ms=1, patience=1)
    device.offer(0, 0, deadline_ms=5000)
    device.step()
    device.offer(1, 0, deadline_ms=200, shape=OTHER)
    assert ran(device.step()) == [(1, 0, "encode")]
    device.offer(2, 0, deadline_ms=5000)
    assert ran(device.step()) == [(0, 0, "step0")]


def test_a_flood_costs_its_sender_only() -> None:
    """a stream that sends a hundred times what it promised leaves its neighbour every chunk."""
    device = on_device(streams=2, period_ms=400)
    flood = 0
    for chunk in range(30):
        device.offer(1, chunk, deadline_ms=chunk * 400 + 300)
        while device.now_ns < (chunk + 1) * 400 * MS:
            for _ in range(100):
                device.offer(0, flood, deadline_ms=device.now_ns / MS + 150)
                flood += 1
            device.step()
    lost = [item for item in device.dropped if item.stream == 1]
    late = [
        at_ns
        for stream, chunk, at_ns in device.finished
        if stream == 1 and at_ns > (chunk * 400 + 300) * MS
    ]
    assert lost == [] and late == []
    assert sum(stream == 1 for stream, _, _ in device.finished) == 30


def test_a_held_stream_holds_up_only_itself() -> None:
    """a held stream is not decoded and begins nothing; released, it goes on where it was."""
    device = on_device(streams=2)
    device.offer(0, 0, deadline_ms=900)
    device.step()
    device.scheduler.hold(0)
    device.offer(0, 1, deadline_ms=950)
    device.offer(1, 0, deadline_ms=1000)
    device.drain()
    assert [(stream, chunk) for stream, chunk, _ in device.finished] == [(1, 0)]
    assert device.chunks[0, 0].stages_done == 3 and device.chunks[0, 1].stages_done == 0
    device.scheduler.release(0)
    device.drain()
    assert [(stream, chunk) for stream, chunk, _ in device.finished] == [(1, 0), (0, 0), (0, 1)]


# ---- opening and closing


def test_a_closed_stream_leaves_nothing() -> None:
    """what runs of it ends unnoticed, the rest is dropped, and its number can be used again."""
    device = on_device()
    device.offer(0, 0, deadline_ms=900)
    batch = device.scheduler.next_batch(0)
    assert batch is not None
    device.offer(0, 1, deadline_ms=900)
    device.scheduler.close(0)
    device.collect()
    assert [(item.chunk, item.cause) for item in device.dropped] == [
        (0, DropCause.CLOSED),
        (1, DropCause.CLOSED),
    ]
    device.scheduler.open(0, period_ns=MS)
    assert device.scheduler.done(batch, started_ns=0, ended_ns=10 * MS) == []
    assert device.scheduler.next_batch(0) is None
    device.scheduler.offer(0, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
    assert device.scheduler.next_batch(0) is not None
    device.scheduler.close(7)


def test_a_last_step_of_a_closed_stream_is_not_a_result() -> None:
    """a decode that was running when its stream was closed is ignored."""
    device = on_device()
    device.offer(0, 0, deadline_ms=900)
    for _ in range(3):
        device.step()
    batch = device.scheduler.next_batch(device.now_ns)
    assert batch is not None and ran(batch) == [(0, 0, "decode")]
    device.scheduler.close(0)
    assert device.scheduler.done(batch, started_ns=0, ended_ns=MS) == []


def test_two_batches_may_be_under_way() -> None:
    """what runs is not given out twice, and a step waits for the one before it."""
    device = on_device(streams=2)
    device.offer(0, 0, deadline_ms=900)
    device.offer(1, 0, deadline_ms=950)
    first = device.scheduler.next_batch(0)
    second = device.scheduler.next_batch(0)
    assert ran(first) == [(0, 0, "encode")] and ran(second) == [(1, 0, "encode")]
    assert device.scheduler.next_batch(0) is None
    assert first and second
    device.run(second)
    assert ran(device.scheduler.next_batch(0)) == [(1, 0, "step0")]
    device.run(first)
    assert ran(device.scheduler.next_batch(0)) == [(0, 0, "step0")]


def test_mistakes_are_refused() -> None:
    """the value, the rule."""
    scheduler = Scheduler(exact_model("tiny"))
    scheduler.open(0, period_ns=MS)
    with pytest.raises(ValueError, match="stream 0 is open, close it first"):
        scheduler.open(0, period_ns=MS)
    with pytest.raises(ValueError, match="period_ns is 0, it must be at least 1"):
        scheduler.open(1, period_ns=0)
    scheduler.offer(0, 4, now_ns=0, deadline_ns=10**12, shape=TINY)
    with pytest.raises(ValueError, match="chunk is 4, it must be above 4"):
        scheduler.offer(0, 4, now_ns=0, deadline_ns=10**12, shape=TINY)
    with pytest.raises(KeyError):
        scheduler.offer(3, 0, now_ns=0, deadline_ns=1, shape=TINY)
    with pytest.raises(ValueError, match="steps is -1, it must not be negative"):
        ChunkShape(level="tiny", steps=-1)
    with pytest.raises(ValueError, match="max_batch is 0, it must be at least 1"):
        on_device(max_batch=0)
    with pytest.raises(ValueError, match="patience is 0, it must be at least 1"):
        on_device(patience=0)
    with pytest.raises(ValueError, match=r"caution is -1, it must not be negative"):
        Scheduler(exact_model("tiny"), caution=-1)
