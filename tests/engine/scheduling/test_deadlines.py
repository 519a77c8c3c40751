"""Deadlines under an exact model: what is dropped, and what sharing a pass may cost."""

from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import Batch, ChunkShape, DropCause, DroppedChunk

from tests.engine.exact_device import (
    ALONE_MS,
    LINES,
    MS,
    OTHER,
    TINY,
    on_device,
    ran,
)


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
