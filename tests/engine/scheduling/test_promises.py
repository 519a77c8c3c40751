"""What streams are promised: which further promise a device can keep."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.scheduling.promises import Promise, QualityFloor
from slipstream_engine.scheduling.scheduler import Scheduler
from slipstream_engine.scheduling.types import ChunkShape, PassKind, level_at
from slipstream_protocol.frames import FrameSize

from tests.engine.exact_device import ALONE_MS, LINES, MS, TINY, exact_model

LIGHT = ChunkShape(level="tiny", steps=1)
HEAVY = ChunkShape(level="tiny", steps=4)
WIDE, UPRIGHT = FrameSize(48, 32), FrameSize(32, 48)
AT_FLOOR = {WIDE: FrameSize(24, 16), UPRIGHT: FrameSize(16, 24)}
LEVELS = [level_at("tiny", size) for size in (*AT_FLOOR, *AT_FLOOR.values())]


def device(max_batch: int = 16) -> Scheduler:
    return Scheduler(exact_model("tiny", *LEVELS), caution=0, max_batch=max_batch)


def promise(
    period_ms: float, shape: ChunkShape = TINY, floor: tuple[int, float] | None = None
) -> Promise:
    """With a floor of so many steps and milliseconds, if any."""
    return Promise(
        shape=shape,
        period_ns=round(period_ms * MS),
        floor=floor and QualityFloor(steps=floor[0], period_ns=round(floor[1] * MS)),
    )


def sized(period_ms: float, size: FrameSize, *, known: bool = True, falls: bool = False) -> Promise:
    """With frames of that size, and a floor of smaller ones if it `falls`."""
    return Promise(
        shape=ChunkShape(level=level_at("tiny", size), steps=2),
        period_ns=round(period_ms * MS),
        floor=QualityFloor(steps=2, size=AT_FLOOR[size]) if falls else None,
        shares_passes=known,
    )


def opened(scheduler: Scheduler, stream: int, given: Promise) -> None:
    scheduler.open(stream, period_ns=given.period_ns)
    scheduler.promise(stream, given)


def test_streams_are_admitted_up_to_what_the_device_can_do() -> None:
    """a stream is admitted while all together would leave the device a tenth of its time; none of
    them has sent anything yet."""
    scheduler = device()
    admitted = 0
    while (admission := scheduler.admit(promise(400))).reason is None:
        opened(scheduler, admitted, promise(400))
        admitted += 1
    items = 2 * (admitted + 1)
    expected = (admitted + 1) * (10 + 20 + 2 * (10 + 30 / items)) / 400
    assert admission.load == pytest.approx(expected, rel=0.01)
    assert admission.load > 0.9 >= expected * admitted / (admitted + 1)
    assert admission.reason.startswith("load would be ")
    assert "a chunk takes 110 ms alone and comes every 400 ms" in admission.reason
    scheduler.close(0)
    assert scheduler.admit(promise(400)).reason is None


def test_four_callers_at_thirty_fps_do_not_fit_where_one_does() -> None:
    """a device worth 33 frames a second takes one camera of 30, however many come together."""
    scheduler = device(max_batch=1)
    worth_33_fps = promise(4 * 1000 / 30 * ALONE_MS / (4 * 1000 / 33))
    admitted = 0
    for stream in range(4):
        if scheduler.admit(worth_33_fps).reason is None:
            opened(scheduler, stream, worth_33_fps)
            admitted += 1
    assert admitted == 1


def test_admission_goes_by_what_is_measured() -> None:
    """a device found to be five times slower takes fewer streams."""
    model = exact_model("tiny")
    opened(Scheduler(model), 0, promise(400))
    assert Scheduler(model).admit(promise(400)).reason is None
    slow = Scheduler(model)
    opened(slow, 0, promise(400))
    assert slow.admit(promise(400)).reason is None
    for _ in range(20):
        for stage, line in LINES.items():
            kind = PassKind(stage=stage, level="tiny")
            model.observe(kind, items=1, duration_ns=5 * line.at(1))
    slow = Scheduler(model)
    opened(slow, 0, promise(400))
    assert slow.admit(promise(400)).reason is not None


def test_a_rare_chunk_shares_few_passes() -> None:
    """a stream that sends once a minute does not make another's chunks cheaper."""
    scheduler = device()
    opened(scheduler, 0, promise(200))
    often, rare = scheduler.admit(promise(200)), scheduler.admit(promise(60_000))
    assert often.load == pytest.approx(2 * 65 / 200, rel=0.01)
    assert rare.load == pytest.approx(80 / 200, rel=0.01)


def test_a_stream_shares_each_pass_of_another_once() -> None:
    """chunks that come twice as often are in the passes of a slower stream once each."""
    scheduler = device()
    opened(scheduler, 0, promise(400))
    slow_ms, fast_ms = 30 + 2 * (10 + 30 / 4), 30 + 2 * (10 + 30 / 3)
    assert scheduler.admit(promise(200)).load == pytest.approx(
        slow_ms / 400 + fast_ms / 200, rel=0.01
    )


def test_a_silent_stream_weighs_what_it_may_send() -> None:
    """paused, held, or with a camera that has stopped: it may be back the next moment."""
    scheduler = device()
    opened(scheduler, 0, promise(140))
    fresh = scheduler.admit(promise(140))
    scheduler.offer(0, 0, now_ns=0, deadline_ns=10**12, shape=TINY)
    while batch := scheduler.next_batch(0):
        scheduler.done(batch, started_ns=0, ended_ns=round(LINES[batch.kind.stage].at(1)))
    scheduler.next_batch(10**15)
    later = scheduler.admit(promise(140))
    assert fresh.reason is not None and later.reason is not None
    assert later.load == pytest.approx(fresh.load, rel=0.01)


def test_a_stream_too_heavy_for_the_device_fills_it_and_not_more() -> None:
    """alone it is always admitted; beside it nobody is."""
    scheduler = device(max_batch=1)
    assert scheduler.admit(promise(20)).reason is None
    opened(scheduler, 0, promise(20))
    assert scheduler.admit(promise(60_000)).load == pytest.approx(1, abs=0.01)
    assert scheduler.admit(promise(400)).reason is not None


def test_at_its_floor_a_stream_leaves_room() -> None:
    """streams that may be moved to a lower level are weighed by what they take there, each by its
    own; a floor that is no lower is as none."""
    scheduler = device(max_batch=1)
    opened(scheduler, 0, promise(150, floor=(1, 500)))
    assert scheduler.admit(promise(150, floor=(1, 500))).load == pytest.approx(140 / 500)
    assert scheduler.admit(promise(150, floor=(1, 0))).load == pytest.approx(70 / 500 + 70 / 150)
    whole = scheduler.admit(promise(150, floor=(4, 10))).load
    assert whole == pytest.approx(scheduler.admit(promise(150)).load)
    assert scheduler.admit(promise(600, floor=(1, 500))).load == pytest.approx(70 / 500 + 70 / 600)


def test_a_viewers_own_steps_weigh_nothing_above_the_floor() -> None:
    """where the ladder takes them back before another suffers."""
    scheduler = device(max_batch=1)
    for stream in (0, 1):
        opened(scheduler, stream, promise(150, LIGHT, floor=(1, 500)))
    heavy = scheduler.admit(promise(150, HEAVY, floor=(1, 500)), stream=0)
    assert heavy.reason is None and heavy.load == pytest.approx(140 / 500)


def test_more_steps_are_admitted_like_a_stream() -> None:
    """not at another's cost; fewer ones always, and any where the stream is alone."""
    scheduler = device(max_batch=1)
    opened(scheduler, 0, promise(300))
    assert scheduler.admit(promise(300, HEAVY), stream=0).reason is None
    opened(scheduler, 1, promise(300))
    assert scheduler.admit(promise(300, HEAVY), stream=0).reason is not None
    assert scheduler.admit(promise(300, LIGHT), stream=0).reason is None
    scheduler.promise(1, promise(300, LIGHT))
    load = scheduler.admit(promise(300), stream=0).load
    assert load == pytest.approx((110 + 70) / 300, rel=0.01)


def test_a_full_device_admits_what_makes_it_no_fuller() -> None:
    """one that has become slower than its promises refuses no relief."""
    scheduler = device(max_batch=1)
    for stream in range(3):
        opened(scheduler, stream, promise(150))
    assert scheduler.admit(promise(150, LIGHT), stream=0).load > 0.9
    assert scheduler.admit(promise(150, LIGHT), stream=0).reason is None
    assert scheduler.admit(promise(150), stream=0).reason is None
    assert scheduler.admit(promise(150, HEAVY), stream=0).reason is not None


@pytest.mark.parametrize(
    ("steps", "period_ns", "reason"),
    [(0, 1, "floor_steps is 0, it must be at"), (1, -1, "floor_period_ns is -1, it must be at")],
)
def test_impossible_floors_are_refused(steps: int, period_ns: int, reason: str) -> None:
    """with the rule."""
    with pytest.raises(ValueError, match=reason):
        QualityFloor(steps=steps, period_ns=period_ns)


@pytest.mark.parametrize("falls", [False, True])
def test_streams_of_different_sizes_share_no_pass(falls: bool) -> None:
    """nor do they at their floors, where each has the size of its own shape; nor one whose size is
    not known yet."""
    scheduler = device()
    opened(scheduler, 0, sized(300, WIDE, falls=falls))
    together = scheduler.admit(sized(300, WIDE, falls=falls)).load
    assert together == pytest.approx(2 * chunk_ms(2, 4) / 300)
    for other in (sized(300, UPRIGHT, falls=falls), sized(300, WIDE, known=False, falls=falls)):
        assert scheduler.admit(other).load == pytest.approx(2 * chunk_ms(2, 2) / 300)


@given(
    streams=st.lists(
        st.tuples(
            st.sampled_from([WIDE, UPRIGHT]), st.booleans(), st.booleans(), st.integers(100, 1000)
        ),
        min_size=1,
        max_size=8,
    )
)
def test_passes_are_counted_for_each_size(
    streams: list[tuple[FrameSize, bool, bool, int]],
) -> None:
    """the load of all is the sum of those of each size by itself, and knowing a size never adds to
    it: whatever shape a camera turns out to have, what was admitted fits."""
    scheduler, alone = device(), {level: device() for level in [*LEVELS, "not known"]}
    least: dict[str, float] = dict.fromkeys(alone, 0.0)
    for stream, (size, known, falls, period_ms) in enumerate(streams):
        one = sized(period_ms, size, known=known, falls=falls)
        total = scheduler.admit(one).load
        if known:
            level = level_at("tiny", AT_FLOOR[size] if falls else size)
            least[level] = alone[level].admit(one).load
            opened(alone[level], stream, one)
        else:
            least["not known"] += device().admit(one).load
        assert total == pytest.approx(sum(least.values()))
        known_load = scheduler.admit(replace(one, shares_passes=True)).load
        assert known_load <= total + 1e-9
        opened(scheduler, stream, one)


@given(
    events=st.lists(
        st.tuples(
            st.integers(0, 7),
            st.sampled_from(["open", "change", "close"]),
            st.integers(20, 2000),
            st.sampled_from([LIGHT, TINY, HEAVY]),
            st.sampled_from([None, (1, 0), (2, 900), (4, 0)]),
        ),
        max_size=60,
    ),
    max_batch=st.sampled_from([1, 4, 16]),
)
def test_what_is_admitted_never_exceeds_the_device(
    events: list[tuple[int, str, int, ChunkShape, tuple[int, float] | None]], max_batch: int
) -> None:
    """whatever was opened, changed and closed before: what is admitted leaves a tenth of the device
    free, or raises no load, or has the device to itself."""
    scheduler = device(max_batch)
    given_now: dict[int, Promise] = {}
    for stream, what, period_ms, shape, floor in events:
        wanted = promise(period_ms, shape, floor)
        if what == "close":
            scheduler.close(stream)
            given_now.pop(stream, None)
            continue
        if (what == "open") is (stream in given_now):
            continue
        before = true_load(given_now, max_batch)
        after = true_load(given_now | {stream: wanted}, max_batch)
        changed = stream if what == "change" else None
        is_admitted = scheduler.admit(wanted, stream=changed).reason is None
        limit = max(0.9, before) if what == "change" else 0.9
        is_alone = not given_now.keys() - {stream}
        if abs(after - limit) > 1e-6:  # they are the same sums in another order
            assert is_admitted == (is_alone or after <= limit), (before, after)
        if is_admitted:
            if what == "open":
                scheduler.open(stream, period_ns=wanted.period_ns)
            scheduler.promise(stream, wanted)
            given_now[stream] = wanted


def true_load(given_now: dict[int, Promise], max_batch: int) -> float:
    """The share of the device that these take: each step shares a pass with those of the others
    that come within its chunk's period."""
    least = {}
    for stream, one in given_now.items():
        steps, period_ms = one.shape.steps, one.period_ns / MS
        if one.floor is not None:
            steps = min(steps, one.floor.steps)
            period_ms = max(period_ms, one.floor.period_ns / MS)
        least[stream] = steps, max(period_ms, chunk_ms(steps, 1))
    load = 0.0
    for steps, period_ms in least.values():
        items = sum(others * min(1.0, period_ms / other_ms) for others, other_ms in least.values())
        load += chunk_ms(steps, min(max(items, 1.0), max_batch)) / period_ms
    return load


def chunk_ms(steps: int, items: float) -> float:
    """Of the device's time, with passes of so many steps."""
    return 10 + 20 + steps * (10 + 30 / items)
