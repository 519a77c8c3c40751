"""scheduling/scheduler.py under an exact model: order, fairness, opening and closing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape, DropCause

from tests.engine.exact_device import (
    ALONE_MS,
    MS,
    OTHER,
    TINY,
    exact_model,
    on_device,
    ran,
)

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
