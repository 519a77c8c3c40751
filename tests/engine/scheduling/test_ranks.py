"""The scheduler where a model runs on several ranks: order, deadlines, room, admission."""

from collections import defaultdict, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.scheduling.latency_model import LatencyModel, LinearLatency
from slipstream_engine.scheduling.promises import Promise
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import (
    Batch,
    ChunkShape,
    DropCause,
    MicroStep,
    PassKind,
    Placement,
    Prefetch,
    Stage,
)

MS = 1_000_000
SHAPE = ChunkShape(level="x", steps=2)
LAYERS = Placement(encode_rank=0, decode_rank=1, paths=((0, 1),), path_of_step=(0,))
STEPS = Placement(encode_rank=0, decode_rank=1, paths=((0,), (1,)), path_of_step=(0, 1))
FAR_NS = 10**12


def test_passes_begin_on_the_ranks_of_the_codec_and_where_paths_begin() -> None:
    """what another rank does follows from what these have begun."""
    placement = Placement(
        encode_rank=1, decode_rank=4, paths=((0, 2, 3), (3, 0)), path_of_step=(0, 1)
    )
    assert placement.entry_ranks == (0, 1, 3, 4)
    assert LAYERS.entry_ranks == STEPS.entry_ranks == (0, 1)


def scheduler(placement: Placement, *, pass_ms: float = 10, known: bool = False) -> Scheduler:
    """Every pass takes `pass_ms` a step, as the model believes or, if `known`, has seen."""
    latency = LatencyModel(LinearLatency(base_ns=0, per_item_ns=pass_ms * MS))
    made = Scheduler(latency, placement=placement, caution=0)
    if known:
        kinds = [PassKind(stage=stage, level="x") for stage in (Stage.ENCODE, Stage.DECODE)]
        for path, ranks in enumerate(placement.paths):
            kinds += [
                PassKind(stage=Stage.DENOISE, level="x", path=path, hop=hop)
                for hop in range(len(ranks))
            ]
        for kind in kinds * 3:
            latency.observe(kind, items=1, duration_ns=pass_ms * MS)
    return made


def offer(made: Scheduler, chunk: int, *, stream: int = 1, deadline_ns: int = FAR_NS) -> None:
    made.offer(stream, chunk, now_ns=0, deadline_ns=deadline_ns, shape=SHAPE)


def begun(made: Scheduler, rank: int) -> Batch:
    batch = made.next_batch(0, rank=rank)
    assert batch is not None and batch.rank == rank
    return batch


def done(made: Scheduler, batch: Batch) -> list[MicroStep]:
    return made.done(batch, started_ns=0, ended_ns=10 * MS)


def test_a_pass_visits_the_ranks_of_its_path() -> None:
    """it is chosen on the first and goes on by itself; the last rank decodes."""
    made = scheduler(LAYERS)
    made.open(1, period_ns=MS)
    offer(made, 0)
    assert made.next_batch(0, rank=1) is None
    encode = begun(made, 0)
    done(made, encode)
    assert made.onward(encode) is None
    for step in range(2):
        first = begun(made, 0)
        assert [item.step for item in first.items] == [step]
        assert done(made, first) == []
        second = made.onward(first)
        assert second is not None
        assert (second.rank, second.number, second.items) == (1, first.number, first.items)
        assert second.kind.hop == 1
        assert made.next_batch(0, rank=0) is None and made.next_batch(0, rank=1) is None
        done(made, second)
        assert made.onward(second) is None
    assert [item.stage for item in done(made, begun(made, 1))] == [Stage.DECODE]


def test_a_chunk_follows_as_soon_as_the_first_rank_is_left() -> None:
    """the step of the chunk before it runs on the second rank meanwhile."""
    made = scheduler(LAYERS)
    made.open(1, period_ns=MS)
    offer(made, 0)
    done(made, begun(made, 0))
    first = begun(made, 0)
    offer(made, 1)
    done(made, first)
    second = made.onward(first)
    assert second is not None
    done(made, begun(made, 0))  # the second chunk's encoding
    following = begun(made, 0)
    assert [(item.chunk, item.step) for item in following.items] == [(1, 0)]


def test_steps_on_their_own_ranks_share_no_pass() -> None:
    """each rank asks for its own, at the same time."""
    made = scheduler(STEPS)
    made.open(1, period_ns=MS)
    offer(made, 0)
    done(made, begun(made, 0))
    done(made, begun(made, 0))
    offer(made, 1)
    done(made, begun(made, 0))
    second_step, first_step = begun(made, 1), begun(made, 0)
    assert [(item.chunk, item.step) for item in second_step.items] == [(0, 1)]
    assert [(item.chunk, item.step) for item in first_step.items] == [(1, 0)]


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    ranks = draw(st.integers(1, 4))
    path = st.lists(st.integers(0, ranks - 1), min_size=1, unique=True).map(
        lambda chosen: tuple(sorted(chosen))
    )
    paths = draw(st.lists(path, min_size=1, max_size=2))
    return Placement(
        encode_rank=draw(st.integers(0, ranks - 1)),
        decode_rank=draw(st.integers(0, ranks - 1)),
        paths=tuple(paths),
        path_of_step=tuple(draw(st.permutations(range(len(paths))))),
    )


class Ranks:
    """Ranks that end their passes in any order, each working off what comes to it in order."""

    def __init__(self, made: Scheduler, placement: Placement) -> None:
        self.scheduler = made
        self.arrived: list[deque[Batch]] = [deque() for _ in range(placement.ranks)]
        self.running: dict[int, Batch] = {}
        self.finished: list[MicroStep] = []
        self.order: dict[tuple[int, int, Stage, int], list[int]] = defaultdict(list)

    def start(self) -> None:
        for rank, waiting in enumerate(self.arrived):
            if rank in self.running:
                continue
            batch = waiting.popleft() if waiting else self.scheduler.next_batch(0, rank=rank)
            if batch is not None:
                assert batch.rank == rank
                self.running[rank] = batch
                for item in batch.items:
                    self.order[rank, item.stream, item.stage, item.step].append(item.chunk)

    def end(self, rank: int) -> None:
        batch = self.running.pop(rank)
        self.finished += done(self.scheduler, batch)
        if following := self.scheduler.onward(batch):
            self.arrived[following.rank].append(following)


@settings(max_examples=40, deadline=None)
@given(placements(), st.integers(0, 4), st.integers(1, 3), st.data())
def test_every_chunk_is_finished_in_order_on_every_rank(
    placement: Placement, steps: int, streams: int, data: st.DataObject
) -> None:
    """whatever the plan, and whichever rank is quick: each part of a stream's chunk runs once, and
    on each rank after the same part of the chunk before it, so the frames are those of one rank."""
    made = scheduler(placement)
    ranks = Ranks(made, placement)
    for stream in range(streams):
        made.open(stream, period_ns=MS)
    offered, chunks = dict.fromkeys(range(streams), 0), 4
    for _ in range(10_000):
        for stream, chunk in offered.items():
            if chunk < chunks and made.has_room(stream):
                made.offer(
                    stream,
                    chunk,
                    now_ns=0,
                    deadline_ns=FAR_NS + chunk,
                    shape=ChunkShape(level="x", steps=steps),
                )
                offered[stream] += 1
        ranks.start()
        if not ranks.running:
            break
        ranks.end(data.draw(st.sampled_from(sorted(ranks.running))))
    assert sorted((item.stream, item.chunk) for item in ranks.finished) == [
        (stream, chunk) for stream in range(streams) for chunk in range(chunks)
    ]
    assert not made.take_dropped()
    for stream in range(streams):
        for step in range(steps):
            for rank in placement.paths[placement.path_at(step)]:
                assert ranks.order[rank, stream, Stage.DENOISE, step] == list(range(chunks))


def test_the_deadline_is_checked_against_the_whole_path() -> None:
    """encode, twice two hops and decode are 60 ms: one in 59 ms is dropped before it is begun."""
    for deadline_ms, is_dropped in ((59, True), (60, False)):
        made = scheduler(LAYERS, known=True)
        made.open(1, period_ns=MS)
        offer(made, 0)  # so that the deadline of the next is not moved
        encode = begun(made, 0)
        made.offer(1, 1, now_ns=-100 * MS, deadline_ns=deadline_ms * MS, shape=SHAPE)
        done(made, encode)
        made.next_batch(0, rank=0)
        dropped = made.take_dropped()
        assert [item.cause for item in dropped] == [DropCause.OVERDUE] * is_dropped


def test_a_chunk_waits_where_it_would_make_one_late() -> None:
    """beside one with no time to lose: on the rank that both need it would be in the way, and with
    three times as many ranks it would not."""
    wide = Placement(encode_rank=0, decode_rank=3, paths=((1,), (2,)), path_of_step=(0, 1))
    for placement, may_begin in ((Placement(), False), (wide, True)):
        made = scheduler(placement, known=True)
        made.open(1, period_ns=MS)
        made.open(2, period_ns=MS)
        offer(made, 0, stream=1, deadline_ns=61 * MS)
        encode = begun(made, 0)
        made.done(encode, started_ns=0, ended_ns=10 * MS)
        made.offer(2, 0, now_ns=10 * MS, deadline_ns=100 * MS, shape=SHAPE)
        step_rank = placement.paths[0][0]
        step = made.next_batch(10 * MS, rank=step_rank)
        assert step is not None
        if placement.ranks > 1:
            assert (made.next_batch(10 * MS, rank=0) is not None) == may_begin
        else:
            made.done(step, started_ns=10 * MS, ended_ns=20 * MS)
            following = made.next_batch(20 * MS, rank=0)
            assert following is not None and following.items[0].stream == 1


def test_ranks_that_are_full_are_sent_no_more() -> None:
    """chunks wait at the camera, not between ranks: enough for each rank of the path, and for each
    of two steps."""
    made = scheduler(LAYERS)
    for stream in range(20):
        made.open(stream, period_ns=MS)
        offer(made, 0, stream=stream)
    encoded = 0
    while batch := made.next_batch(0, rank=0):
        if batch.kind.stage is not Stage.ENCODE:
            continue  # the steps go nowhere, as if the second rank hung
        encoded += len(batch.items)
        done(made, batch)
    assert encoded == 4


def test_admission_is_by_the_busiest_rank() -> None:
    """four ranks that share the blocks evenly are promised to more streams than one."""
    quarter = Placement(encode_rank=0, decode_rank=3, paths=((0, 1, 2, 3),), path_of_step=(0,))
    promise = Promise(shape=SHAPE, period_ns=120 * MS)
    one, four = scheduler(Placement()), scheduler(quarter, pass_ms=10 / 4)
    assert one.admit(promise).load == pytest.approx(40 / 120)
    # on the first rank: encode and a quarter of two steps
    assert four.admit(promise).load == pytest.approx(3 * 2.5 / 120)
    for stream in range(20):
        for made in (one, four):
            made.open(stream, period_ns=promise.period_ns)
            if made.admit(promise).reason is None:
                made.promise(stream, promise)
    counts = [sum(made.promised(n) is not None for n in range(20)) for made in (one, four)]
    assert counts == [2, 14]
    assert "load would be 100% of this device" in (one.admit(promise).reason or "")


def test_a_camera_that_outpaces_one_chunk_at_a_time_is_asked_early() -> None:
    """so that no rank waits; a slower one sends its frames as fresh as can be."""
    for period_ms, expected in ((59, Prefetch.AFTER_ENCODE), (100, Prefetch.ON_IDLE)):
        made = scheduler(LAYERS, known=True)
        made.open(1, period_ns=period_ms * MS)
        offer(made, 0)
        assert made.prefetch(1) is expected


def test_a_placement_without_ranks_is_refused() -> None:
    """each step has a path, and each path a rank."""
    with pytest.raises(ValueError, match="a step has no rank, name at least one path"):
        Placement(paths=((),))
    with pytest.raises(ValueError, match="a step has path 1, there are 0 to 0"):
        Placement(path_of_step=(0, 1))
    assert LAYERS.ranks == 2 and Placement().ranks == 1


def test_chunks_that_wait_share_an_encoding() -> None:
    """where passes gain by it, on one rank and on several: none is in flight yet."""
    for placement in (Placement(), LAYERS):
        latency = LatencyModel(LinearLatency(base_ns=10 * MS, per_item_ns=MS))
        made = Scheduler(latency, placement=placement)
        for stream in range(3):
            made.open(stream, period_ns=MS)
            offer(made, 0, stream=stream)
        assert len(begun(made, 0).items) == 3
